"""One policy's way to its capacity, in rounds."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...csrc import PolicySpec
from ...records.metrics import averaged
from ...records.sweep import PolicySweep, RatePoint
from .capacity import bracket, capacity_of, next_rates, rises, rounds_left
from .trials import CountJob, FoundCount, Job, Record, Setting, Trial, TrialJob


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of every policy.

    Attributes:
        rates: the grid, in requests per second, ascending.
        attainment: the share of requests that have to keep the SLO.
        every_rate: measure all of the grid; else bisect.
    """

    rates: list[float]
    attainment: float = 0.9
    every_rate: bool = False

    @property
    def middle_rate(self) -> float:
        """The one where bisection begins."""
        return self.rates[(len(self.rates) - 1) // 2]


class CapacitySearch:
    """What one policy still has to be simulated at, given what came of it so far.

    A round is a rate on all seeds, or with `every_rate` all rates on all seeds. A policy whose count is to be searched
    `count_first` has that search, at the middle rate on the first seed, as a round of its own.

    Attributes:
        policy: with its count, once it is found.
        counting: the count is not found yet.
        missing: the jobs of this round that have not been taken, by key; none if the search is over.
        trials: how many trials were taken.
    """

    def __init__(self, policy: PolicySpec, setting: Setting, question: Question, *, count_first: bool) -> None:
        self.policy = policy
        self.counting = count_first
        self.trials = 0
        self._setting = setting
        self._question = question
        self._points: dict[int, RatePoint] = {}
        self._notes: list[str] = []
        self._begin(self._count_round() if count_first else self._next_round())

    def take(self, record: Record) -> bool:
        """What came of a missing job; whether that was the last of its round."""
        del self.missing[record.key]
        self._taken[record.key] = record
        self.trials += isinstance(record, Trial)
        if self.missing:
            return False
        self._conclude_round([self._taken[job.key] for job in self._round])
        self._begin(self._next_round())
        return True

    def rounds_left(self) -> tuple[int, int]:
        """Of trials, at least and at most, this one included."""
        if self._question.every_rate:
            return (0, 0) if self._points else (1, 1)
        return rounds_left(len(self._question.rates), self._passed())

    def trials_left(self) -> tuple[int, int]:
        """At least and at most, those that are missing now included."""
        seeds, count = len(self._setting.experiments), len(self._question.rates)
        a_round = seeds * count if self._question.every_rate else seeds
        taken = 0 if self.counting else len(self._taken)
        least, most = self.rounds_left()
        return least * a_round - taken, most * a_round - taken

    def bracket(self) -> tuple[float | None, float | None]:
        """The highest rate that passed so far, and the lowest that failed."""
        rates = self._question.rates
        low, high = bracket(len(rates), self._passed())
        return (rates[low] if low >= 0 else None), (rates[high] if high < len(rates) else None)

    def result(self) -> PolicySweep:
        """What the policy can take, once the search is over."""
        points, target = [self._points[i] for i in sorted(self._points)], self._question.attainment
        capacity, first_failing = capacity_of(points, target)
        return PolicySweep(
            policy=str(self.policy),
            upper_bound=self.policy.build().sees_lengths,
            capacity=capacity,
            first_failing=first_failing,
            points=points,
            notes=[*self._notes, *rises(points, target)],
        )

    def _begin(self, jobs: list[Job]) -> None:
        self._round = jobs
        self._taken: dict[str, Record] = {}
        self.missing = {job.key: job for job in jobs}

    def _conclude_round(self, records: Sequence[Record]) -> None:
        for record in records:
            if isinstance(record, FoundCount):
                self.counting = False
                self.policy = self.policy.with_count(record.n)
                self._notes = [record.note]
        by_rate: dict[float, list[Trial]] = {}
        for record in records:
            if isinstance(record, Trial):
                by_rate.setdefault(record.rate, []).append(record)
        for rate, trials in by_rate.items():
            self._points[self._question.rates.index(rate)] = _point(rate, trials)

    def _passed(self) -> dict[int, bool]:
        return {i: point.attainment >= self._question.attainment for i, point in self._points.items()}

    def _count_round(self) -> list[Job]:
        rate, seed = self._question.middle_rate, next(iter(self._setting.experiments))
        return [CountJob(self.policy, rate, seed, self._setting.key("count", self.policy, rate, seed))]

    def _next_round(self) -> list[Job]:
        rates = self._question.rates
        positions = next_rates(len(rates), self._passed(), every=self._question.every_rate)
        return [
            TrialJob(self.policy, rates[i], seed, self._setting.key("trial", self.policy, rates[i], seed))
            for i in positions
            for seed in self._setting.experiments
        ]


def _point(rate: float, trials: Sequence[Trial]) -> RatePoint:
    requests = sum(trial.summary.requests for trial in trials)
    return RatePoint(
        rate=rate,
        attainment=sum(trial.kept for trial in trials) / requests,
        by_seed=[trial.kept / trial.summary.requests for trial in trials],
        summary=averaged([trial.summary for trial in trials]),
    )
