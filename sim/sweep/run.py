"""Finds the highest rate of arrivals at which each policy keeps an SLO, by bisection or on all rates of a grid.

The searches of all policies run side by side, each in rounds. The simulations of one round do not depend on each other.
A round depends only on the results of earlier rounds. So neither the kind of workers, nor the number of cores, nor an
interruption changes the result.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from ...csrc import PolicySpec
from ...records import sweep as sweep_record
from ...records import versions
from ...records.outcome import scenario_info
from ...records.sweep import PolicySweep, Sweep, write_sweep
from ..tasks import plan_tasks
from .journal import Journal
from .search import CapacitySearch, Question
from .trials import Job, Record, SweepSetting
from .workers import Workers


def searches_of(
    policies: Sequence[PolicySpec], setting: SweepSetting, question: Question, known: Mapping[str, Record]
) -> list[CapacitySearch]:
    """One search for each policy, in the order of `policies`, advanced as far as the known results allow.

    As in a comparison, a count policy without a count has two searches.

    Args:
        known: results of an earlier sweep, by key.
    """
    order = [policy.id for policy in policies]
    tasks = sorted(plan_tasks(list(policies)), key=lambda task: order.index(task.policy.id))
    searches = [CapacitySearch(task.policy, setting, question, count_first=task.search) for task in tasks]
    for search in searches:
        _take_known(search, known)
    return searches


def sweep(
    searches: Sequence[CapacitySearch],
    setting: SweepSetting,
    question: Question,
    journal: Journal,
    workers: Workers,
    *,
    command: str = "",
    on_progress: Callable[[], None] = lambda: None,
) -> Sweep:
    """Run the searches to their end, and write the sweep into the journal's folder.

    Each result is written to the journal at once. After Ctrl-C a new sweep can start from it.

    Raises:
        OutputRefused: the folder cannot be written.
        KeyboardInterrupt: on Ctrl-C.
    """
    (journal.folder / sweep_record.FILE).unlink(missing_ok=True)  # the answer to an earlier question
    journal.write()
    _run_to_end(searches, journal, workers, on_progress)
    results: dict[str, PolicySweep] = {}
    for search in searches:
        result = search.result()
        results.setdefault(result.policy, result)  # a searched count may equal a given one
    found = Sweep(
        scenario=scenario_info(next(iter(setting.experiments.values())), setting.step_time.description),
        rates=question.rates,
        seeds=list(setting.experiments),
        attainment=question.attainment,
        every_rate=question.every_rate,
        policies=list(results.values()),
        versions=versions(),
        command=command,
    )
    journal.write()
    write_sweep(journal.folder, found)
    return found


def _run_to_end(
    searches: Sequence[CapacitySearch], journal: Journal, workers: Workers, on_progress: Callable[[], None]
) -> None:
    """Simulate the jobs that the searches miss, round after round, until none is missing."""
    asked: set[str] = set()
    queue: deque[Job] = deque()

    def enqueue(search: CapacitySearch) -> None:
        _take_known(search, journal.records)
        queue.extend(job for key, job in search.missing.items() if key not in asked)
        asked.update(search.missing)

    for search in searches:
        enqueue(search)
    running = 0
    while queue or running:
        while queue and running < workers.slots:
            workers.submit(queue.popleft())
            running += 1
        for record in workers.results():
            running -= 1
            journal.add(record)
            for search in searches:
                if record.key in search.missing and search.take(record):
                    enqueue(search)
        on_progress()


def _take_known(search: CapacitySearch, known: Mapping[str, Record]) -> None:
    """Give the search all known results, round after round."""
    while here := [known[key] for key in search.missing if key in known]:
        for record in here:
            search.take(record)
