"""Measures the duration of steps of every kind on an engine. A step-time model is fitted to them.

Each point of the grid is a small run under the real scheduler, staged and launched as in a replay. Only the measured
steps are computed. The steps before them are only counted as done, so a long cache takes no time to build.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...csrc import PolicySpec, StepPlan, parse_policy
from ...errors import OverBudget
from ...experiment import Experiment, Limits, build_experiment
from ...records import Columns
from ...workloads import ModelSpec, Trace
from ..attention.interface import Attention
from ..machine import Machine
from ..memory.vram_cap import VramCap
from ..replay.clock import Clock
from ..replay.session import Say, Session, open_session
from .point_run import PointRun
from .step_grid import LONGEST_ROW_TOKENS, GridPoint, grid

WORK = (
    *("prefill_tokens", "prefill_pairs", "fresh_tokens", "fresh_pairs", "prefill_context"),
    *("decode_rows", "context_tokens", "longest_context", "sampled_rows", "swap_bytes"),
)
"""What is recorded of each step beside its duration: attributes of `StepPlan.work`."""

_POLICY = "paged"  # decodes first, then prefills as many tokens as the step holds
_CAPTURED = (
    "skyline",
    "skyline(eager=1,chunk=208)",
)  # graphs of steps that also prefill are captured for their chunk sizes
_MOST_CACHED = 1_200_000  # tokens
_SWAPPED_TOKENS = (512, 2048, 8192)


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured.

    Attributes:
        steps: columns `WORK` and `duration_ns`, one row a step. Copies to and from the host are rows without tokens.
        row_sizes: rows of the graphs that decode, ascending.
    """

    steps: Columns
    row_sizes: list[int]


def calibrate(
    model: ModelSpec,
    machine: Machine,
    *,
    attention: Attention,
    limits: Limits | None = None,
    seed: int = 0,
    say: Say = lambda text: None,
    on_point: Callable[[int, int], None] = lambda done, of: None,
) -> Measured:
    """Measure the grid.

    Args:
        limits: of the engine; default: those of the device, with steps of twice as many tokens.
        say: called with a line of text before each part that takes long.
        on_point: called after each point with (points done, all points).

    Raises:
        OverBudget: the model does not fit, or no step of the grid does.
    """
    experiment = _experiment(model, machine, attention, limits or Limits(), seed)
    policies = [parse_policy(text) for text in (_POLICY, *_CAPTURED)]
    session = open_session(experiment, policies, machine, attention=attention, say=say)
    try:
        steps = _Calibration(session, policies[0], seed).run(on_point)
        return Measured(steps, session.engine.graphs.row_sizes)
    finally:
        session.close()


def _experiment(model: ModelSpec, machine: Machine, attention: Attention, limits: Limits, seed: int) -> Experiment:
    """An experiment whose longest request and most requests are those of the grid."""
    device = machine.spec
    step_tokens = limits.step_tokens or 2 * device.step_tokens
    longest = min(model.context_tokens, max(2 * step_tokens, LONGEST_ROW_TOKENS))
    seats = limits.max_seqs or device.max_seqs
    limits = Limits(
        vram_bytes=limits.vram_bytes,
        block_tokens=max(attention.block_multiple, limits.block_tokens),
        step_tokens=step_tokens,
        max_seqs=seats,
    )
    trace = Trace.of_rows([(0, longest - 64, 64)] * seats, max_new_tokens=64, name="calibration")
    return build_experiment(trace, model, device, limits=limits, seed=seed)


class _Calibration:
    def __init__(self, session: Session, policy: PolicySpec, seed: int) -> None:
        self._session, self._policy, self._engine, self._seed = session, policy, session.engine, seed
        self._rows: dict[str, list[int]] = {name: [] for name in (*WORK, "duration_ns")}
        memory = session.experiment.memory
        self._most_cached = min(_MOST_CACHED, memory.pool_blocks * memory.block_tokens * 9 // 10)
        self._vram_cap = VramCap(
            self._engine.machine,
            self._engine.pool,
            memory,
            cap_bytes=memory.budget_bytes,
            fixed_bytes=session.fixed_bytes,
            blind=False,
        )

    def run(self, on_point: Callable[[int, int], None]) -> Columns:
        experiment = self._session.experiment
        extent = self._engine.extent
        points = [*grid(experiment.step_tokens, extent.seats, self._most_cached, extent.longest_tokens)]
        if not points:
            raise OverBudget("no step of the grid fits into memory: raise --vram")
        self._fill_caches(max(point.cached_tokens for point in points))
        for done, point in enumerate(points):
            self._measure(point, np.random.default_rng((self._seed, done)))
            on_point(done + 1, len(points))
        self._measure_swaps()
        return {name: np.array(values, dtype=np.int64) for name, values in self._rows.items()}

    def _fill_caches(self, tokens: int) -> None:
        """Fill the caches with random numbers: with zeros the device takes less power and runs faster."""
        pool = self._engine.pool
        self._vram_cap.make_room(min(tokens // pool.block_tokens + 2, self._vram_cap.pool_blocks) - pool.blocks)
        for layer in pool.layers():
            for part in layer:
                part[: pool.blocks].normal_()

    def _measure(self, point: GridPoint, rng: np.random.Generator) -> None:
        run = PointRun(self._session, self._vram_cap, self._policy, point, rng)
        try:
            for plan, duration_ns in run.measured():
                self._note(plan, duration_ns)
        finally:
            run.end()

    def _note(self, plan: StepPlan, duration_ns: int) -> None:
        for name in WORK:
            self._rows[name].append(getattr(plan.work, name))
        self._rows["duration_ns"].append(duration_ns)

    def _measure_swaps(self) -> None:
        """Measure copies to the host and back, as for a request that is evicted and resumed."""
        engine, block_manager = self._engine, self._engine.pool.block_manager
        most = min(engine.extent.longest_tokens, self._most_cached)
        lengths = [length for length in _SWAPPED_TOKENS if length < most]
        if not engine.machine.is_cuda or not lengths:
            return
        blocks = max(lengths) // engine.pool.block_tokens + 1
        try:
            engine.pool.open_host(2 * blocks * engine.pool.block_bytes)
        except OverBudget:
            return  # a host that cannot pin so much cannot swap either
        clock = Clock(engine.machine)
        for length in lengths * 3:
            block_manager.hold(0, 0, length)
            start = clock.mark()
            out = block_manager.swap_out(0, length)
            engine.pool.copy_out(out)
            engine.pool.copy_in(block_manager.swap_in(0))
            end = clock.mark()
            end.reached()
            block_manager.release(0)
            for name in WORK:
                self._rows[name].append(2 * len(out) * engine.pool.block_bytes if name == "swap_bytes" else 0)
            self._rows["duration_ns"].append(clock.ns(end) - clock.ns(start))
