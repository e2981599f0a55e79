"""Estimates how long a sweep takes, before it begins and while it runs."""

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
"""About how many simulations a search of the best safe count makes."""


class SweepEstimate(msgspec.Struct, frozen=True):
    """What a sweep will do and how long it takes. A trial is one policy at one rate on one seed.

    Attributes:
        requests: number of requests in a trial.
        at_once: simulations at a time.
        trials_done: trials that an earlier sweep has made.
        trials_least, trials_most: bounds of the trials still to make.
        seconds_least, seconds_most: bounds of the time that they take.
    """

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
    """How long trials take.

    Attributes:
        seconds: of one trial, for each search.
        at_once: simulations at a time.
    """

    seconds: list[float]
    at_once: int

    def left(self, searches: Sequence[CapacitySearch]) -> tuple[float, float]:
        """Seconds to the end of the searches: the least and the most."""
        least, most = (
            max(
                sum(s * trials for s, trials in zip(self.seconds, work, strict=True)) / self.at_once,
                max((s * rounds for s, rounds in zip(self.seconds, chain, strict=True)), default=0.0),
            )
            for work, chain in (_work_and_chain(searches, bound) for bound in (0, 1))
        )
        return least, most


def _work_and_chain(searches: Sequence[CapacitySearch], bound: int) -> tuple[list[int], list[int]]:
    """For each search: the trials left, and how many of them must run one after the other.

    Args:
        bound: 0 for the least, 1 for the most.
    """
    counts = [_COUNTS_TRIED if search.counting else 0 for search in searches]
    work = [search.trials_left()[bound] + count for search, count in zip(searches, counts, strict=True)]
    chain = [search.rounds_left()[bound] + count for search, count in zip(searches, counts, strict=True)]
    return work, chain


def time_trials(
    searches: Sequence[CapacitySearch], setting: SweepSetting, question: Question, at_once: int
) -> TrialTimes:
    """Measure how long trials take: simulate the first 500 requests once for each policy that is not done.

    Raises:
        KeyboardInterrupt: on Ctrl-C.
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
    searches: Sequence[CapacitySearch], setting: SweepSetting, question: Question, times: TrialTimes
) -> SweepEstimate:
    """What is left to do, and how long it takes."""
    least, most = (sum(search.trials_left()[bound] for search in searches) for bound in (0, 1))
    seconds = times.left(searches)
    first = next(iter(setting.experiments.values()))
    return SweepEstimate(
        policies=[str(search.policy) for search in searches],
        rates=question.rates,
        seeds=list(setting.experiments),
        requests=len(first.trace),
        at_once=times.at_once,
        trials_done=sum(search.trials for search in searches),
        trials_least=least,
        trials_most=most,
        seconds_least=seconds[0],
        seconds_most=seconds[1],
    )
