"""Measures steps of every kind on an engine: what a step-time model is fitted to.

Each point of the grid is a small run under the real scheduler, staged and launched as in a replay. Only the steps that
are measured are computed; those that lead up to them are counted as done, so that a cache of any length costs nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..csrc import PolicySpec, Scheduler, StagedStep, StepPlan, parse_policy
from ..errors import OverBudget
from ..experiment import Experiment, Limits, build_experiment
from ..records import Columns
from ..workloads import ModelSpec, Trace
from .attention import Attention
from .clock import Clock, Mark
from .executor import Executor
from .ledger import Ledger
from .machine import Machine
from .session import Say, Session, open_session

WORK = (
    *("prefill_tokens", "prefill_pairs", "fresh_tokens", "fresh_pairs", "prefill_context"),
    *("decode_rows", "context_tokens", "longest_context", "sampled_rows", "swap_bytes"),
)
"""What is recorded of each step beside its duration: attributes of its plan's work."""

_POLICY = "paged"  # decodes first, then prefills as much as the step holds
_CAPTURED = ("skyline", "skyline(eager=1,chunk=208)")  # for their chunks steps that also prefill are captured
_ROWS = (
    *(1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 192, 224, 256),
    *(288, 320, 384, 448, 512, 640, 768, 896, 1024),
)
_CONTEXTS = (128, 1024, 4096, 7000)
_BESIDE_LONGEST, _LONGEST = (8, 16, 32, 64, 128, 256, 384), (12_000, 24_000)
_LENGTHS = (64, 256, 1024, 2048, 4096, 8192, 16_384)
_STEPS = (256, 512, 1024, 2048, 4096, 8192, 16_384)
_CHUNKS = (16, 64, 128, 208, 320, 512, 768, 1024, 1536, 2048, 4096, 8192)
_STARTS = (1024, 8192)
_MIXED_ROWS = (4, 16, 32, 64, 128, 256)
_MIXED_PREFILL = (16, 64, 128, 208, 320, 512, 768, 1024, 2048, 4096, 8192, 14_336)
_MIXED_CHUNKS = (64, 208, 512, 2048, 8192)
_MOST_CACHED = 1_200_000
_LONGEST_ROW = 4  # times the average
_DECODING_BETWEEN, _SHORT = 3, 2048
_HEATING, _HOT_ROWS = 16, 64
_DECODE_STEPS, _PREFILL_STEPS = 8, 3
_SWAPPED_TOKENS = (512, 2048, 8192)


@dataclass(frozen=True, slots=True)
class Point:
    """One kind of step.

    Attributes:
        rows: that decode, from caches of unlike lengths, `context` tokens on average or somewhat more.
        prompts: whole ones that a step prefills beside them, each of `length` tokens.
        longest: one of them has a cache of so many tokens instead.
        chunk: or else: tokens of a step's prefill, of one prompt, from its token `start` on at the earliest.
        steps: that are measured.
    """

    rows: int = 0
    context: int = 0
    longest: int = 0
    prompts: int = 0
    length: int = 0
    chunk: int = 0
    start: int = 0
    steps: int = _PREFILL_STEPS

    @property
    def decoding_between(self) -> int:
        """Steps that only decode after each that prefills, as when requests come now and then: the device has time to
        rest, and the host to launch the next one.
        """
        return _DECODING_BETWEEN if self.rows and self.prompts and self.prefill <= _SHORT else 0

    @property
    def steps_to_warm(self) -> int:
        """That are computed and not measured: before the first the device waits for the host, and many rows at once
        bring it to its power limit.
        """
        return _HEATING if self.rows >= _HOT_ROWS and not self.prefill else 1 + self.decoding_between

    @property
    def all_steps(self) -> int:
        """That are computed."""
        return self.steps_to_warm + self.steps * (1 + self.decoding_between)

    @property
    def prefill(self) -> int:
        """Tokens of a step."""
        return self.prompts * self.length or self.chunk

    @property
    def step_tokens(self) -> int:
        """All tokens of a step."""
        return self.rows + self.prefill

    @property
    def steps_before(self) -> int:
        """Of the chunk's prompt, before those that are measured."""
        return -(-self.start // self.chunk) if self.chunk else 0

    @property
    def prompt_tokens(self) -> int:
        """Of each prompt that is prefilled; one step more than is measured."""
        return self.length or self.chunk * (self.steps_before + self.steps + 1)

    @property
    def row_tokens(self) -> int:
        """In the decoding requests' caches at the end, on average and at most: they decode until the last one does."""
        ahead = -(-self.rows * self.context // self.prefill) if self.prefill else 16
        return self.context + ahead + self.steps_before + self.all_steps + 16

    @property
    def cached_tokens(self) -> int:
        """Of all, at most."""
        return self.rows * self.row_tokens + self.longest + self.prefill * (self.steps + 1) + self.prompt_tokens


def grid(step_tokens: int, seats: int, cached_tokens: int, longest: int) -> Iterator[Point]:
    """Points that an engine of those limits can run: decoding, whole prompts, chunks, and both beside decoding."""
    rows = sorted({count for count in _ROWS if count < seats} | {seats})
    decoding = (Point(count, context, steps=_DECODE_STEPS) for count in rows for context in _CONTEXTS)
    one_long = (Point(count, 512, longest, steps=_DECODE_STEPS) for count in _BESIDE_LONGEST for longest in _LONGEST)
    whole = (
        Point(prompts=total // length, length=length) for total in _STEPS for length in _LENGTHS if length <= total
    )
    chunks = (Point(chunk=chunk, start=start) for chunk in _CHUNKS for start in _STARTS)
    beside = (
        Point(count, 1024, prompts=max(total // 1024, 1), length=min(total, 1024))
        for count in _MIXED_ROWS
        for total in _MIXED_PREFILL
    )
    chunks_beside = (Point(count, 1024, chunk=chunk, start=4096) for count in _MIXED_ROWS for chunk in _MIXED_CHUNKS)
    for point in (*decoding, *one_long, *whole, *chunks, *beside, *chunks_beside):
        fits = point.step_tokens <= step_tokens and point.rows + max(point.prompts, 1) <= seats + (not point.prefill)
        longest_row = point.row_tokens + max((_LONGEST_ROW - 1) * point.context, point.longest)
        if fits and point.cached_tokens <= cached_tokens and max(point.prompt_tokens + 1, longest_row) <= longest:
            yield point


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured.

    Attributes:
        steps: one row a step: `WORK` and `duration_ns`; copies to and from the host have no tokens.
        row_sizes: of the graphs that decode, ascending.
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
        limits: of the engine; default: the device's, and steps of twice as many tokens.
        on_point: told after each point, how many are done and of how many.

    Raises:
        OverBudget: the model does not fit.
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
    """One in which the longest request and the most requests are those of the grid."""
    device = machine.spec
    step_tokens = limits.step_tokens or 2 * device.step_tokens
    longest = min(model.context_tokens, max(2 * step_tokens, _LONGEST_ROW * max(_CONTEXTS) + 256))
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
        self._ledger = Ledger(
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
            raise OverBudget("the device has no room for any step that is to be measured: raise --vram")
        self._fill_caches(max(point.cached_tokens for point in points))
        for done, point in enumerate(points):
            self._measure(point, np.random.default_rng((self._seed, done)))
            on_point(done + 1, len(points))
        self._measure_swaps()
        return {name: np.array(values, dtype=np.int64) for name, values in self._rows.items()}

    def _fill_caches(self, tokens: int) -> None:
        """Numbers like those of real caches: products of zeros take less power, and the device is faster then."""
        pool = self._engine.pool
        self._ledger.make_room(min(tokens // pool.block_tokens + 2, self._ledger.pool_blocks) - pool.blocks)
        for layer in pool.layers():
            for part in layer:
                part[: pool.blocks].normal_()

    def _measure(self, point: Point, rng: np.random.Generator) -> None:
        run = _PointRun(self._session, self._ledger, self._policy, point, rng)
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
        """There and back, as a request that was evicted and comes back."""
        engine, book = self._engine, self._engine.pool.book
        most = min(engine.extent.longest_tokens, self._most_cached)
        lengths = [length for length in _SWAPPED_TOKENS if length < most]
        if not engine.machine.is_cuda or not lengths:
            return
        blocks = max(lengths) // engine.pool.block_tokens + 1
        try:
            engine.pool.open_host(2 * blocks * engine.pool.block_bytes)
        except OverBudget:
            return  # a host that cannot pin that much will not swap either
        clock = Clock(engine.machine)
        for length in lengths * 3:
            book.hold(0, 0, length)
            start = clock.mark()
            out = book.swap_out(0, length)
            engine.pool.copy_out(out)
            engine.pool.copy_in(book.swap_in(0))
            end = clock.mark()
            end.reached()
            book.release(0)
            for name in WORK:
                self._rows[name].append(2 * len(out) * engine.pool.block_bytes if name == "swap_bytes" else 0)
            self._rows["duration_ns"].append(clock.ns(end) - clock.ns(start))


def _unlike(point: Point, rng: np.random.Generator) -> list[int]:
    """Lengths of the decoding requests' prompts, `point.context` on average: the longest are what others wait for."""
    if not point.rows:
        return []
    lengths = np.clip(rng.lognormal(sigma=0.8, size=point.rows), 1 / _LONGEST_ROW, _LONGEST_ROW / 2)
    scaled = np.clip(np.floor(lengths / lengths.mean() * point.context), 1, _LONGEST_ROW * point.context)
    if point.longest:
        scaled[0] = point.longest
    return [int(each) for each in scaled]


class _PointRun:
    """The requests of one point under a scheduler of their own."""

    def __init__(
        self, session: Session, ledger: Ledger, policy: PolicySpec, point: Point, rng: np.random.Generator
    ) -> None:
        self._engine, self._point = session.engine, point
        experiment = session.experiment
        self._scheduler = Scheduler(
            policy.build(),
            experiment.memory,
            max_seqs=min(experiment.max_seqs, point.step_tokens) if point.prefill else experiment.max_seqs,
            step_tokens=point.step_tokens if point.prefill else experiment.step_tokens,
        )
        others = point.prompts * (point.steps + 1) if point.prompts else int(point.chunk > 0)
        prompts = np.array([*_unlike(point, rng), *[point.prompt_tokens] * others], dtype=np.int64)
        outputs = np.array([point.row_tokens - point.context] * point.rows + [1] * others, dtype=np.int64)
        self._prompts, self._outputs = prompts.tolist(), outputs.tolist()
        self._executor = Executor(self._engine, ledger, prompts, outputs)
        log = self._executor.log.tokens
        log[:] = rng.integers(0, experiment.model.vocab, len(log), dtype=np.int32)
        self._submitted = 0
        self._running: set[int] = set()

    def measured(self) -> Iterator[tuple[StepPlan, int]]:
        """Each measured step's plan, and how long it took."""
        point = self._point
        self._submit(point.rows)
        decoding = 0
        while decoding < point.rows:
            decoding += len(self._pretend().joined)
        self._submit(int(point.chunk > 0))
        for _ in range(point.steps_before):
            self._pretend()
        clock = Clock(self._engine.machine)
        steps: list[tuple[StepPlan, Mark, Mark]] = []
        for number in range(point.all_steps):
            if number % (1 + point.decoding_between) == 0:
                self._submit(point.prompts)
            if len(steps) > 1:
                steps[-2][2].reached()  # as in a replay, one step is launched while another runs
            steps.append(self._launch(clock))
        last_ns = 0
        for number, (plan, start, end) in enumerate(steps):
            end.reached()
            begun_ns, ended_ns = max(clock.ns(start), last_ns), clock.ns(end)
            last_ns = ended_ns
            if number >= point.steps_to_warm:
                yield plan, ended_ns - begun_ns

    def end(self) -> None:
        """Whoever still runs leaves."""
        self._executor.retire(sorted(self._running))

    def _submit(self, count: int) -> None:
        for request in range(self._submitted, self._submitted + count):
            self._scheduler.submit(
                request, arrival_ns=0, prompt_tokens=self._prompts[request], max_new_tokens=self._outputs[request]
            )
        self._submitted += count

    def _stage(self) -> StagedStep:
        return self._executor.stager.stage(self._scheduler.plan(0), self._engine.turn_slab())

    def _pretend(self) -> StepPlan:
        step = self._stage()
        self._commit(step.plan, self._executor.pretend(step))
        return step.plan

    def _launch(self, clock: Clock) -> tuple[StepPlan, Mark, Mark]:
        step = self._stage()
        start = clock.mark()
        finished = self._executor.launch(step).finished
        end = clock.mark()
        self._commit(step.plan, finished)
        return step.plan, start, end

    def _commit(self, plan: StepPlan, finished: list[int]) -> None:
        self._running |= set(plan.admitted)
        self._scheduler.commit(1, finished)
        self._executor.retire(finished)
        self._running -= set(finished)
