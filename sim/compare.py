"""Simulates several policies on the same experiment, and on it under other seeds, on as many cores as there are, each
into its own run folder.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

from ..csrc import PolicySpec, parse_policy
from ..errors import InvalidRun
from ..experiment import Experiment
from ..records import RunInfo, read_run, write_run
from ..records.outcome import scenario_info
from .count_search import best_safe_count
from .simulate import as_step_time, simulate
from .step_time.roofline import StepTime

SHOWN_COUNT = 32
"""The count that is shown beside the best one: a customary default."""


@dataclass(frozen=True, slots=True)
class Task:
    """One run to make.

    Attributes:
        folder: below the comparison's.
        search: the policy's count is to be found first.
        experiment: which one to run, by position: 0 is that of the first seed.
        note: how the count was found.
        switch: of an attribution, in what the policy differs from the one before it.
    """

    policy: PolicySpec
    folder: str
    search: bool = False
    experiment: int = 0
    note: str = ""
    switch: str = ""


Progress = Callable[[str, str, int, int], None]
"""Called with a task's folder, what it is doing, and how many of how many requests have ended."""


def plan_tasks(policies: list[PolicySpec]) -> list[Task]:
    """One run a policy; two for a count policy without a count: its best safe one, and `SHOWN_COUNT`."""
    tasks: dict[str, Task] = {}
    for policy in policies:
        if policy.id.startswith("count-") and not policy.fixes_count:
            tasks[policy.slug] = Task(policy, policy.slug, search=True)
            policy = policy.with_count(SHOWN_COUNT)
        tasks[policy.slug] = Task(policy, policy.slug)  # which may be asked for by name too: one run
    # The searches take longest: they start first.
    return sorted(tasks.values(), key=lambda task: not task.search)


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
    """Make all the runs and return their folders: POLICY of the experiment, in the order of `policies`, then
    seed-K/POLICY of each replicate, which is the experiment under another seed K. `step_time` as in `simulate`.

    A count is searched on the experiment alone and then used for its replicates, whether it is safe there or not: an
    operator has one setting. With `resume`, runs that are complete and of this very experiment are kept. On Ctrl-C
    every run that was under way is written as far as it came, marked incomplete, and KeyboardInterrupt is raised.
    """
    experiments = [experiment, *replicates]
    planned = plan_tasks(policies)
    known = {task: _count_known(task, experiment, out, step_time) for task in planned if resume and task.search}

    def missing(task: Task) -> list[Task]:
        todo = [task] if task.search else _on_every_seed(task, experiments)
        return [each for each in todo if not (resume and _is_done(experiments, each, out, step_time))]

    make_runs(
        experiments,
        [each for task in planned for each in missing(known.get(task) or task)],
        out,
        once_counted=missing,
        step_time=step_time,
        workers=min(workers or os.cpu_count() or 1, len(planned) * len(experiments)),
        command=command,
        on_progress=on_progress,
    )
    order = [policy.id for policy in policies]
    shown = sorted(planned, key=lambda task: order.index(task.policy.id))
    seeds = zip(*(_on_every_seed(task, experiments) for task in shown), strict=True)
    return [out / task.folder for seed in seeds for task in seed]


def make_runs(
    experiments: Sequence[Experiment],
    tasks: Sequence[Task],
    out: Path,
    *,
    once_counted: Callable[[Task], Sequence[Task]] = lambda _: (),
    step_time: StepTime | None,
    workers: int,
    command: str,
    on_progress: Progress | None,
) -> None:
    """Do the tasks on so many cores. `once_counted` says what follows from a search: from the task with its count."""
    with _workers(workers, experiments, step_time) as (pool, messages):
        futures = {pool.submit(_work, task, out, command) for task in tasks}
        while futures:
            done, futures = wait(futures, timeout=0.1, return_when=FIRST_COMPLETED)
            while not messages.empty():
                message = messages.get()
                if on_progress:
                    on_progress(*message)
            for counted in filter(None, (future.result() for future in done)):
                futures |= {pool.submit(_work, task, out, command) for task in once_counted(counted)}


def _on_every_seed(task: Task, experiments: Sequence[Experiment]) -> list[Task]:
    """The task of the first seed, and the same for the others."""
    first, *others = (experiment.seed for experiment in experiments)
    note = f"{task.policy} was searched on seed {first}, not on these requests" if task.note else ""
    return [task] + [
        replace(task, folder=f"seed-{seed}/{task.folder}", experiment=position, note=note)
        for position, seed in enumerate(others, 1)
    ]


def _is_done(experiments: Sequence[Experiment], task: Task, out: Path, step_time: StepTime | None) -> bool:
    info = None if task.search else _complete_info(experiments[task.experiment], out / task.folder, step_time)
    return info is not None and info.policy == str(task.policy) and info.note == task.note


def _count_known(task: Task, experiment: Experiment, out: Path, step_time: StepTime | None) -> Task | None:
    """The task with the count that an earlier search for this very experiment came to."""
    info = _complete_info(experiment, out / task.folder, step_time)
    if info is None or not info.note:
        return None
    found = parse_policy(info.policy)
    ours = found.id == task.policy.id and str(found.with_count(1)) == str(task.policy.with_count(1))
    return replace(task, policy=found, search=False, note=info.note) if ours else None


def _complete_info(experiment: Experiment, folder: Path, step_time: StepTime | None) -> RunInfo | None:
    """Of a run that is whole and of this very experiment."""
    try:
        info = read_run(folder).info
    except InvalidRun:
        return None
    same = info.scenario == scenario_info(experiment, as_step_time(step_time, experiment).description)
    return info if info.complete and info.seed == experiment.seed and same else None


_Messages = SimpleQueue[tuple[str, str, int, int]]


@contextmanager
def _workers(
    count: int, experiments: Sequence[Experiment], step_time: StepTime | None
) -> Iterator[tuple[ProcessPoolExecutor, "_Messages"]]:
    context = multiprocessing.get_context("spawn")
    messages: _Messages = context.SimpleQueue()
    with ProcessPoolExecutor(
        max_workers=count,
        mp_context=context,
        initializer=_start_worker,
        initargs=(messages, experiments, step_time),
    ) as pool:
        try:
            yield pool, messages
        except BaseException:
            pool.shutdown(cancel_futures=True)  # else what has not begun would still be run
            raise


_worker: tuple[Any, Sequence[Experiment], StepTime | None]


def _start_worker(messages: Any, experiments: Sequence[Experiment], step_time: StepTime | None) -> None:
    global _worker
    _worker = messages, experiments, step_time
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _work(task: Task, out: Path, command: str) -> Task | None:
    """Search the task's count and return the task with it; or else make its run."""
    messages, experiments, step_time = _worker
    experiment = experiments[task.experiment]
    total = len(experiment.trace)

    def say(doing: str, ended: int) -> None:
        messages.put((task.folder, doing, ended, total))

    if task.search:
        best = best_safe_count(experiment, task.policy, step_time=step_time, on_trial=lambda n: say(f"trying n={n}", 0))
        return replace(task, policy=task.policy.with_count(best.n), search=False, note=str(best))
    run = simulate(
        experiment,
        task.policy,
        step_time=step_time,
        note=task.note,
        command=command,
        on_progress=lambda ended: say("simulating", ended) if ended % 64 == 0 else None,
    )
    run.info.switch = task.switch
    write_run(out / task.folder, run)
    if not run.info.complete:
        raise KeyboardInterrupt
    say("done", total)
    return None
