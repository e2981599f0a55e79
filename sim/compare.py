"""Simulates several policies on the same experiment, and on the same experiment under other seeds."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..csrc import PolicySpec, parse_policy
from ..errors import InvalidRun
from ..experiment import Experiment
from ..records import RunInfo, read_run
from ..records.outcome import scenario_info
from .simulate import as_step_time
from .step_time import StepTime
from .tasks import Progress, Task, make_runs, plan_tasks, searched_elsewhere


def compare(
    experiment: Experiment,
    policies: list[PolicySpec],
    out: Path,
    *,
    replicates: Sequence[Experiment] = (),
    step_time: StepTime | None = None,
    resume: bool = False,
    workers: int | None = None,
    command: str = "",
    on_progress: Progress | None = None,
) -> list[Path]:
    """Make all the runs and return their folders.

    The folders are POLICY for the experiment, in the order of `policies`, then seed-K/POLICY for each replicate. A
    replicate is the experiment under another seed, K. On Ctrl-C each run in progress is written as far as it came and
    marked incomplete, and KeyboardInterrupt is raised.

    A count is searched on the experiment alone. Its replicates use the same count, even where it is not safe: an
    operator has one setting.

    Args:
        step_time: as in `simulate`.
        resume: keep runs in `out` that are complete and of this very experiment.
        workers: simulations at a time; None: one for each core.
    """
    experiments = [experiment, *replicates]
    planned = plan_tasks(policies)
    known = {task: _known_count(task, experiment, out, step_time) for task in planned if resume and task.search}

    def missing(task: Task) -> list[Task]:
        todo = [task] if task.search else _on_every_seed(task, experiments)
        return [each for each in todo if not (resume and _is_done(experiments, each, out, step_time))]

    make_runs(
        experiments,
        [each for task in planned for each in missing(known.get(task) or task)],
        out,
        after_search=missing,
        step_time=step_time,
        workers=min(workers or os.cpu_count() or 1, len(planned) * len(experiments)),
        command=command,
        on_progress=on_progress,
    )
    order = [policy.id for policy in policies]
    shown = sorted(planned, key=lambda task: order.index(task.policy.id))
    seeds = zip(*(_on_every_seed(task, experiments) for task in shown), strict=True)
    return [out / task.folder for seed in seeds for task in seed]


def _on_every_seed(task: Task, experiments: Sequence[Experiment]) -> list[Task]:
    """The task on the first seed, then the same task on the other seeds."""
    first, *others = (experiment.seed for experiment in experiments)
    note = searched_elsewhere(task.policy, first) if task.note else ""
    return [task] + [
        replace(task, folder=f"seed-{seed}/{task.folder}", experiment=position, note=note)
        for position, seed in enumerate(others, 1)
    ]


def _is_done(experiments: Sequence[Experiment], task: Task, out: Path, step_time: StepTime | None) -> bool:
    info = None if task.search else _complete_info(experiments[task.experiment], out / task.folder, step_time)
    return info is not None and info.policy == str(task.policy) and info.note == task.note


def _known_count(task: Task, experiment: Experiment, out: Path, step_time: StepTime | None) -> Task | None:
    """The task with the count that an earlier search on this very experiment found; None if there was none."""
    info = _complete_info(experiment, out / task.folder, step_time)
    if info is None or not info.note:
        return None
    found = parse_policy(info.policy)
    is_same_policy = found.id == task.policy.id and str(found.with_count(1)) == str(task.policy.with_count(1))
    return replace(task, policy=found, search=False, note=info.note) if is_same_policy else None


def _complete_info(experiment: Experiment, folder: Path, step_time: StepTime | None) -> RunInfo | None:
    """The info of the run in a folder, if it is complete and of this very experiment."""
    try:
        info = read_run(folder).info
    except InvalidRun:
        return None
    same = info.scenario == scenario_info(experiment, as_step_time(step_time, experiment).description)
    return info if info.complete and info.seed == experiment.seed and same else None
