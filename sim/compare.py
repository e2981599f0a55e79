"""Simulates several policies on the same experiment, on as many cores as there are, each into its own run folder."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

from ..csrc import PolicySpec
from ..errors import InvalidRun
from ..experiment import Experiment
from ..outcome import describe
from ..records import RunInfo, read_run, write_run
from .search import best_safe_count
from .simulate import as_step_time, simulate
from .step_time import StepTime

SHOWN_COUNT = 32
"""The count that is shown beside the best one: a customary default."""


@dataclass(frozen=True, slots=True)
class Task:
    """One run to make: a policy, the folder's name, and whether its count is to be searched first."""

    policy: PolicySpec
    folder: str
    search: bool = False


Progress = Callable[[str, str, int, int], None]
"""Called with a task's folder, what it is doing, and how many of how many requests have ended."""


def plan_tasks(policies: list[PolicySpec]) -> list[Task]:
    """One run a policy; two for a count policy without a count: its best safe one, and `SHOWN_COUNT`."""
    tasks = []
    for policy in policies:
        if policy.id.startswith("count-") and not policy.fixes_count:
            tasks.append(Task(policy, policy.id, search=True))
            tasks.append(Task(policy.with_count(SHOWN_COUNT), f"{policy.id}-n{SHOWN_COUNT}"))
        else:
            tasks.append(Task(policy, policy.slug))
    # The searches take longest: they start first.
    return sorted(tasks, key=lambda task: not task.search)


def compare(
    experiment: Experiment,
    policies: list[PolicySpec],
    out: Path,
    *,
    step_time: StepTime | None = None,
    resume: bool = False,
    workers: int | None = None,
    command: str = "",
    on_progress: Progress | None = None,
) -> list[Path]:
    """Make all the runs and return their folders, in the order of `policies`; `step_time` as in `simulate`.

    With `resume`, runs that are complete and of this very experiment are kept. On Ctrl-C every run that was under way
    is written as far as it came, marked incomplete, and KeyboardInterrupt is raised.
    """
    tasks = plan_tasks(policies)
    missing = [task for task in tasks if not (resume and _is_done(experiment, task, out, step_time))]
    context = multiprocessing.get_context("spawn")
    messages: SimpleQueue[tuple[str, str, int, int]] = context.SimpleQueue()
    with ProcessPoolExecutor(
        max_workers=max(1, min(workers or os.cpu_count() or 1, len(missing))),
        mp_context=context,
        initializer=_start_worker,
        initargs=(messages, experiment, step_time),
    ) as pool:
        futures = [pool.submit(_make_run, task, out, command) for task in missing]
        for message in _messages_until_done(futures, messages):
            if on_progress:
                on_progress(*message)
        for future in futures:
            future.result()
    order = [policy.id for policy in policies]
    return [out / task.folder for task in sorted(tasks, key=lambda task: order.index(task.policy.id))]


def _messages_until_done(
    futures: list[Future[Any]], messages: "SimpleQueue[tuple[str, str, int, int]]"
) -> Iterator[tuple[str, str, int, int]]:
    pending = set(futures)
    while pending:
        done, pending = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
        while not messages.empty():
            yield messages.get()
        for future in done:
            future.result()


def _is_done(experiment: Experiment, task: Task, out: Path, step_time: StepTime | None) -> bool:
    try:
        info = read_run(out / task.folder).info
    except InvalidRun:
        return False
    return info.complete and _same_experiment(info, experiment, task, step_time)


def _same_experiment(info: RunInfo, experiment: Experiment, task: Task, step_time: StepTime | None) -> bool:
    same_policy = bool(info.note) if task.search else info.policy == str(task.policy)
    return (
        same_policy
        and info.seed == experiment.seed
        and info.scenario == describe(experiment, as_step_time(step_time, experiment).description)
    )


_worker: tuple[Any, Experiment, StepTime | None]


def _start_worker(messages: Any, experiment: Experiment, step_time: StepTime | None) -> None:
    global _worker
    _worker = messages, experiment, step_time
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _make_run(task: Task, out: Path, command: str) -> None:
    messages, experiment, step_time = _worker
    total = len(experiment.trace)

    def say(doing: str, ended: int) -> None:
        messages.put((task.folder, doing, ended, total))

    policy, note = task.policy, ""
    if task.search:
        best = best_safe_count(experiment, policy, step_time=step_time, on_trial=lambda n: say(f"trying n={n}", 0))
        policy, note = policy.with_count(best.n), str(best)
    run = simulate(
        experiment,
        policy,
        step_time=step_time,
        note=note,
        command=command,
        on_progress=lambda ended: say("simulating", ended) if ended % 64 == 0 else None,
    )
    write_run(out / task.folder, run)
    if not run.info.complete:
        raise KeyboardInterrupt
    say("done", total)
