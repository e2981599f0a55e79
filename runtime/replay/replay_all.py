"""Replays one trace under several policies, one after another on one engine, each into its own run folder."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from ...csrc import PolicySpec
from ...errors import InvalidRun
from ...experiment import Experiment
from ...records import ScenarioInfo, read_run, write_run
from ..attention import Attention
from .replay import Progress, Replay, ReplayOptions
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
    """The policies that have no complete run of this very experiment in their folder."""
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

    On Ctrl-C the run under way is written as far as it came, marked incomplete, and KeyboardInterrupt is raised.
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
    """What is measured anew at every start, and so differs by a few bytes, is not compared: where the KV pool is given,
    the VRAM budget is such a sum; where the budget is given, the pool is.
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
