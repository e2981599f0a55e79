"""Finds the highest rate of arrivals at which each policy keeps an SLO, by simulating it at the rates that bisection
asks for, or at all of a grid.

The searches of all policies go on side by side, each in rounds of simulations that do not depend on each other. What a
round is depends on what came of those before it and on nothing else, so that neither the engine, nor the number of
cores, nor an interruption changes the result.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from ...csrc import PolicySpec
from ...records import sweep as sweep_record
from ...records import versions
from ...records.outcome import scenario_info
from ...records.sweep import PolicySweep, Sweep, write_sweep
from ..compare import plan_tasks
from .journal import Journal
from .search import CapacitySearch, Question
from .trials import Job, Record, Setting
from .workers import Engine


def searches_of(
    policies: Sequence[PolicySpec], setting: Setting, question: Question, known: Mapping[str, Record]
) -> list[CapacitySearch]:
    """One a policy, in their order, each as far as what is known takes it.

    As in a comparison, there are two of a count policy without a count.
    """
    order = [policy.id for policy in policies]
    tasks = sorted(plan_tasks(list(policies)), key=lambda task: order.index(task.policy.id))
    searches = [CapacitySearch(task.policy, setting, question, count_first=task.search) for task in tasks]
    for search in searches:
        _settle(search, known)
    return searches


def sweep(
    searches: Sequence[CapacitySearch],
    setting: Setting,
    question: Question,
    journal: Journal,
    engine: Engine,
    *,
    command: str = "",
    on_progress: Callable[[], None] = lambda: None,
) -> Sweep:
    """Go on with the searches to their end, and write the sweep into the journal's folder.

    What ends is in the journal at once: after Ctrl-C, which raises KeyboardInterrupt, searches begin with it.

    Raises OutputRefused: the folder cannot be written.
    """
    (journal.folder / sweep_record.FILE).unlink(missing_ok=True)  # of an earlier question
    journal.write()
    _pursue(searches, journal, engine, on_progress)
    results: dict[str, PolicySweep] = {}
    for search in searches:
        result = search.result()
        results.setdefault(result.policy, result)  # a count that was found may be one that was asked for
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


def _pursue(
    searches: Sequence[CapacitySearch], journal: Journal, engine: Engine, on_progress: Callable[[], None]
) -> None:
    """Simulate what the searches miss, and what they miss then, until they miss nothing."""
    asked: set[str] = set()
    queue: deque[Job] = deque()

    def ask(search: CapacitySearch) -> None:
        _settle(search, journal.records)
        queue.extend(job for key, job in search.missing.items() if key not in asked)
        asked.update(search.missing)

    for search in searches:
        ask(search)
    running = 0
    while queue or running:
        while queue and running < engine.slots:
            engine.submit(queue.popleft())
            running += 1
        for record in engine.results():
            running -= 1
            journal.add(record)
            for search in searches:
                if record.key in search.missing and search.take(record):
                    ask(search)
        on_progress()


def _settle(search: CapacitySearch, known: Mapping[str, Record]) -> None:
    """Let it take what is known, round after round."""
    while here := [known[key] for key in search.missing if key in known]:
        for record in here:
            search.take(record)
