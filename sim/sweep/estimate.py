"""How long a sweep will take, before it begins and while it runs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from ...workloads import head
from ..simulate import simulate
from .search import CapacitySearch, Question
from .trials import SweepSetting

_SHORT = 500
_COUNTS_TRIED = 15
"""About as many simulations as a search of the best safe count makes."""


class SweepEstimate(msgspec.Struct, frozen=True):
    """What a sweep will take. A trial is one policy at one rate on one seed, over `requests` requests."""

    policies: list[str]
    rates: list[float]
    seeds: list[int]
    requests: int
    at_once: int
    trials_done: int
    trials_least: int
    trials_most: int
    seconds_least: float
    seconds_most: float


@dataclass(frozen=True, slots=True)
class TrialTimes:
    """Seconds that a trial of each search takes, and how many run at once."""

    seconds: list[float]
    at_once: int

    def left(self, searches: Sequence[CapacitySearch]) -> tuple[float, float]:
        """Seconds to the end, at least and at most."""
        least, most = (
            max(
                sum(s * trials for s, trials in zip(self.seconds, work, strict=True)) / self.at_once,
                max((s * rounds for s, rounds in zip(self.seconds, chain, strict=True)), default=0.0),
            )
            for work, chain in (_work_and_chain(searches, end) for end in (0, 1))
        )
        return least, most


def _work_and_chain(searches: Sequence[CapacitySearch], end: int) -> tuple[list[int], list[int]]:
    """Of each search the trials left, and how many of these have to come one after the other."""
    counts = [_COUNTS_TRIED if search.counting else 0 for search in searches]
    work = [search.trials_left()[end] + count for search, count in zip(searches, counts, strict=True)]
    chain = [search.rounds_left()[end] + count for search, count in zip(searches, counts, strict=True)]
    return work, chain


def time_trials(
    searches: Sequence[CapacitySearch], setting: SweepSetting, question: Question, at_once: int
) -> TrialTimes:
    """Simulate the first requests, some hundreds, once for each policy that is not done.

    Raises KeyboardInterrupt, on Ctrl-C.
    """
    seed = next(iter(setting.experiments))
    experiment = setting.experiment(question.middle_rate, seed)
    short = replace(experiment, trace=head(experiment.trace, _SHORT))
    scale = len(experiment.trace) / len(short.trace)
    seconds = []
    for search in searches:
        started = time.perf_counter()
        if search.missing:
            run = simulate(short, search.policy, step_time=setting.step_time)
            if not run.info.complete:
                raise KeyboardInterrupt
        seconds.append((time.perf_counter() - started) * scale)
    return TrialTimes(seconds, at_once)


def estimate_sweep(
    searches: Sequence[CapacitySearch], setting: SweepSetting, question: Question, clock: TrialTimes
) -> SweepEstimate:
    """What is left to do."""
    least, most = (sum(search.trials_left()[end] for search in searches) for end in (0, 1))
    seconds = clock.left(searches)
    first = next(iter(setting.experiments.values()))
    return SweepEstimate(
        policies=[str(search.policy) for search in searches],
        rates=question.rates,
        seeds=list(setting.experiments),
        requests=len(first.trace),
        at_once=clock.at_once,
        trials_done=sum(search.trials for search in searches),
        trials_least=least,
        trials_most=most,
        seconds_least=seconds[0],
        seconds_most=seconds[1],
    )
