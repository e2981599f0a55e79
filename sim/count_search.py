"""Finds the best safe count for a policy that caps its batches by number of requests."""

from collections.abc import Callable
from dataclasses import dataclass

from ..csrc import PolicySpec
from ..experiment import Experiment
from ..records.merit import order_by_merit
from ..records.metrics import Summary, summary_of
from .simulate import simulate
from .step_time import StepTime

_REFINEMENTS = 2


@dataclass(frozen=True, slots=True)
class BestCount:
    """What the search found.

    Attributes:
        n: the count to run with.
        largest_safe: the largest count that ran without an out-of-memory step; 0 if none did.
        tried: how many counts were simulated.
        unbounded: whether larger counts change nothing, because fewer requests than the count ever ran at once.
    """

    n: int
    largest_safe: int
    tried: int
    unbounded: bool

    def __str__(self) -> str:
        if not self.largest_safe:
            return "no count is safe: even one request at a time runs out of memory"
        edge = (
            "no count is too large here"
            if self.unbounded
            else f"{self.largest_safe} is the largest count that never ran out of memory"
        )
        return f"n={self.n} is the best of {self.tried} counts simulated on this trace; {edge}"


def best_safe_count(
    experiment: Experiment,
    policy: PolicySpec,
    *,
    step_time: StepTime | None = None,
    on_trial: Callable[[int], None] | None = None,
) -> BestCount:
    """Find the count that serves this trace best (`merit.order_by_merit`) without an out-of-memory step.

    The count is doubled until a run is out of memory, or until fewer requests run at once than the count allows.
    Bisection finds the largest safe count. Then counts near the best one are tried. No operator has this hindsight: the
    count policies get it so that other policies are not compared with a weak baseline.

    Args:
        on_trial: called with each count before it is simulated.

    Raises:
        KeyboardInterrupt: on Ctrl-C.
    """
    trials: dict[int, Summary | None] = {}

    def safe(n: int) -> bool:
        if n not in trials:
            if on_trial:
                on_trial(n)
            run = simulate(experiment, policy.with_count(n), step_time=step_time, stop_on_oom=True)
            summary = summary_of(run.info)
            if not run.info.complete and not summary.ooms:
                raise KeyboardInterrupt
            trials[n] = None if summary.ooms else summary
        return trials[n] is not None

    limit = min(experiment.step_tokens, len(experiment.trace))
    largest, unsafe, unbounded = _double(safe, trials, limit)
    if not largest:
        return BestCount(1, 0, len(trials), unbounded=False)
    largest = _bisect(safe, largest, unsafe)
    for _ in range(_REFINEMENTS):
        _try_neighbours(safe, trials)
    return BestCount(_best(trials), largest, len(trials), unbounded)


def _double(safe: Callable[[int], bool], trials: dict[int, Summary | None], limit: int) -> tuple[int, int, bool]:
    """Double the count.

    Returns the largest safe count tried, the first unsafe count above it (or one more than the limit), and whether
    larger counts change nothing.
    """
    largest, n = 0, 1
    while n <= limit and safe(n):
        largest = n
        summary = trials[n]
        if summary is not None and summary.running_max < n:
            return largest, n + 1, True
        n = n * 2 if n == limit else min(n * 2, limit)
    return largest, min(n, limit + 1), largest == limit


def _bisect(safe: Callable[[int], bool], largest: int, unsafe: int) -> int:
    while unsafe - largest > 1:
        middle = (largest + unsafe) // 2
        if safe(middle):
            largest = middle
        else:
            unsafe = middle
    return largest


def _try_neighbours(safe: Callable[[int], bool], trials: dict[int, Summary | None]) -> None:
    best = _best(trials)
    tried = sorted(trials)
    place = tried.index(best)
    for neighbour in tried[max(place - 1, 0) : place + 2]:
        safe((best + neighbour) // 2)


def _best(trials: dict[int, Summary | None]) -> int:
    safe = [(n, summary) for n, summary in sorted(trials.items(), key=lambda item: item[0]) if summary is not None]
    return safe[order_by_merit([summary for _, summary in safe])[0]][0]
