"""Replays one trace under several policies, one after another on one engine, each into its own run folder."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from ..csrc import PolicySpec
from ..errors import InvalidRun
from ..experiment import Experiment
from ..records import RunInfo, read_run, write_run
from .replay import Progress, Replay, ReplayOptions
from .session import Session

Watch = Callable[[PolicySpec, Progress], None]


def missing_runs(experiment: Experiment, policies: list[PolicySpec], out: Path, *, resume: bool) -> list[PolicySpec]:
    """The policies that are still to be replayed: all, or with `resume` those without a complete run of this trace."""
    return [policy for policy in policies if not (resume and _is_done(experiment, policy, out / policy.slug))]


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


def _is_done(experiment: Experiment, policy: PolicySpec, folder: Path) -> bool:
    try:
        info = read_run(folder).info
    except InvalidRun:
        return False
    return info.complete and info.kind == "real" and _is_of(info, experiment, policy)


def _is_of(info: RunInfo, experiment: Experiment, policy: PolicySpec) -> bool:
    """What is measured anew at every start, and so differs by a few bytes, is not compared."""
    trace, scenario = experiment.trace, info.scenario
    return (
        (info.policy, info.seed) == (str(policy), experiment.seed)
        and scenario.trace.content_hash == trace.content_hash
        and (scenario.model, scenario.device) == (experiment.model.name, experiment.device.name)
        and (scenario.max_seqs, scenario.step_tokens) == (experiment.max_seqs, experiment.step_tokens)
        and scenario.memory.block_tokens == experiment.memory.block_tokens
    )
