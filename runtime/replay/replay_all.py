"""Replays one trace under several policies, one after another on one engine, each into a run folder of its own."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from ...csrc import PolicySpec
from ...errors import InvalidRun
from ...experiment import Experiment
from ...records import ScenarioInfo, read_run, write_run
from ..attention.interface import Attention
from .progress import Progress, ReplayOptions
from .replay import Replay
from .session import Session

Watch = Callable[[PolicySpec, Progress], None]


def missing_runs(
    experiment: Experiment,
    policies: list[PolicySpec],
    out: Path,
    *,
    attention: Attention,
    temperature: float = 0.0,
    options: ReplayOptions,
) -> list[PolicySpec]:
    """The policies whose folder has no complete run of exactly this experiment."""
    engine = (attention.name, temperature, options.plan_ahead)
    return [policy for policy in policies if not _is_done(experiment, policy, engine, out / policy.slug)]


def replay_all(
    session: Session,
    policies: list[PolicySpec],
    out: Path,
    *,
    options: ReplayOptions,
    on_progress: Watch | None = None,
) -> None:
    """Replay each policy and write its folder.

    Raises:
        KeyboardInterrupt: Ctrl-C came. The run that it stopped is written, marked incomplete.
    """
    for policy in policies:
        watched = options
        if on_progress is not None:
            watched = msgspec.structs.replace(options, on_progress=lambda now, p=policy: on_progress(p, now))
        with session.monitor() as monitor:
            replay = Replay(
                session.experiment, policy, session.engine, monitor, fixed_bytes=session.fixed_bytes, options=watched
            )
            run = replay.run()
        session.engine.pool.clear()
        write_run(out / policy.slug, run)
        if not run.info.complete:
            raise KeyboardInterrupt


def _is_done(experiment: Experiment, policy: PolicySpec, engine: tuple[str, float, int], folder: Path) -> bool:
    try:
        info = read_run(folder).info
    except InvalidRun:
        return False
    made = info.machine
    if made is None or not info.complete or (made.attention, made.temperature, made.plan_ahead) != engine:
        return False
    return (info.policy, info.seed) == (str(policy), experiment.seed) and _is_of(info.scenario, experiment)


def _is_of(scenario: ScenarioInfo, experiment: Experiment) -> bool:
    """Whether a record's scenario is this experiment.

    Fixed memory is measured at every start and differs by a few bytes, so sums with it are not compared: the VRAM
    budget if the size of the KV pool was given, the pool if the budget was given.
    """
    memory, limits, slo = experiment.memory, experiment.limits, experiment.slo
    is_pool_given = limits.kv_blocks or limits.kv_budget_tokens
    same_memory = (
        scenario.memory.pool_blocks == memory.pool_blocks
        if is_pool_given
        else scenario.memory.budget_bytes == memory.budget_bytes
    )
    return (
        same_memory
        and scenario.trace.content_hash == experiment.trace.content_hash
        and (scenario.model, scenario.device) == (experiment.model.name, experiment.device.name)
        and (scenario.max_seqs, scenario.step_tokens) == (experiment.max_seqs, experiment.step_tokens)
        and (scenario.slo_ttft_s, scenario.slo_tpot_s) == (slo.ttft_s, slo.tpot_s)
        and scenario.memory.block_tokens == memory.block_tokens
    )
