"""Runs to make, and their simulation on several processes, each run into its own folder."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

from ..csrc import PolicySpec
from ..experiment import Experiment
from ..records import write_run
from .count_search import best_safe_count
from .simulate import simulate
from .step_time import StepTime

SHOWN_COUNT = 32
"""The count that is shown beside the best one: a customary default."""


@dataclass(frozen=True, slots=True)
class Task:
    """One run to make.

    Attributes:
        folder: of the run, below the comparison's folder.
        search: whether the policy's count must be searched first.
        experiment: index of the experiment to run; 0 is the experiment of the first seed.
        note: how the count was found.
        switch: the name of this step if the run belongs to an ablation.
    """

    policy: PolicySpec
    folder: str
    search: bool = False
    experiment: int = 0
    note: str = ""
    switch: str = ""


Progress = Callable[[str, str, int, int], None]
"""Called with a task's folder, what is being done, how many requests have ended, and how many there are."""


def searched_elsewhere(policy: PolicySpec, seed: int) -> str:
    """The note of a run whose count was searched on the requests of another seed."""
    return f"{policy} was searched on seed {seed}, not on these requests"


def plan_tasks(policies: list[PolicySpec]) -> list[Task]:
    """One run for each policy; two for a count policy without a count: its best safe count, and `SHOWN_COUNT`.

    The searches come first, since they take longest.
    """
    tasks: dict[str, Task] = {}
    for policy in policies:
        if policy.counts_requests and not policy.fixes_count:
            tasks[policy.slug] = Task(policy, policy.slug, search=True)
            policy = policy.with_count(SHOWN_COUNT)
        tasks[policy.slug] = Task(policy, policy.slug)  # the same key if it was also given by the user: one run
    return sorted(tasks.values(), key=lambda task: not task.search)


def make_runs(
    experiments: Sequence[Experiment],
    tasks: Sequence[Task],
    out: Path,
    *,
    after_search: Callable[[Task], Sequence[Task]] = lambda _: (),
    step_time: StepTime | None,
    workers: int,
    command: str,
    on_progress: Progress | None,
) -> None:
    """Do the tasks on `workers` processes, and write each run into its folder below `out`.

    Args:
        after_search: called with each searched task and its count; returns the tasks that follow.
        step_time: as in `simulate`.
    """
    with _pool(workers, experiments, step_time) as (pool, messages):
        futures = {pool.submit(_work, task, out, command) for task in tasks}
        while futures:
            done, futures = wait(futures, timeout=0.1, return_when=FIRST_COMPLETED)
            while not messages.empty():
                message = messages.get()
                if on_progress:
                    on_progress(*message)
            for counted in filter(None, (future.result() for future in done)):
                futures |= {pool.submit(_work, task, out, command) for task in after_search(counted)}


_Messages = SimpleQueue[tuple[str, str, int, int]]


@contextmanager
def _pool(
    workers: int, experiments: Sequence[Experiment], step_time: StepTime | None
) -> Iterator[tuple[ProcessPoolExecutor, "_Messages"]]:
    context = multiprocessing.get_context("spawn")
    messages: _Messages = context.SimpleQueue()
    with ProcessPoolExecutor(
        max_workers=workers,
        mp_context=context,
        initializer=_start_worker,
        initargs=(messages, experiments, step_time),
    ) as pool:
        try:
            yield pool, messages
        except BaseException:
            pool.shutdown(cancel_futures=True)  # without this, tasks that have not started would still run
            raise


_worker: tuple[Any, Sequence[Experiment], StepTime | None]


def _start_worker(messages: Any, experiments: Sequence[Experiment], step_time: StepTime | None) -> None:
    global _worker
    _worker = messages, experiments, step_time
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _work(task: Task, out: Path, command: str) -> Task | None:
    """Search the task's count and return the task with it; or make the task's run and return None."""
    messages, experiments, step_time = _worker
    experiment = experiments[task.experiment]
    total = len(experiment.trace)

    def report(doing: str, ended: int) -> None:
        messages.put((task.folder, doing, ended, total))

    if task.search:
        best = best_safe_count(
            experiment, task.policy, step_time=step_time, on_trial=lambda n: report(f"trying n={n}", 0)
        )
        return replace(task, policy=task.policy.with_count(best.n), search=False, note=str(best))
    run = simulate(
        experiment,
        task.policy,
        step_time=step_time,
        note=task.note,
        command=command,
        on_progress=lambda ended: report("simulating", ended) if ended % 64 == 0 else None,
    )
    run.info.switch = task.switch
    write_run(out / task.folder, run)
    if not run.info.complete:
        raise KeyboardInterrupt
    report("done", total)
    return None
