"""Decides whether head is slower than base, as soon as the samples allow it.

After 16 launches, and then after every 8 more, the rule looks at each benchmark that is still undecided:

    slower        the change is above the threshold, and the lower end of its 99 % interval is above zero
    fast enough   the upper end of the interval is below the threshold
    undecided     neither: more launches, until there are 64 or the time is up

The interval holds over all looks together. A benchmark that is slower must be slower again in a second round of fresh
launches, by the same rule, before it counts as a regression.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from ...broken import Broken
from ...result import Check, Outcome
from .pairs import Launch, LaunchProblem
from .statistics import SlowdownEstimate, adjusted_by_holm, estimate_slowdown

NAME = "timed"
CPU_TIME, GPU_TIME = "CPU time, s a call", "GPU time, s a call"
FIRST_ROUND_SHARE = 0.6
"""The first round's share of the time, once a benchmark seems slower: the rest is for its second round."""

LaunchSource = Callable[[Sequence[str], int], Iterable[Launch]]
"""A function from names of benchmarks and a number to that many launches of them, each made when it is asked for."""


@dataclass(frozen=True, slots=True)
class TimingRule:
    """When a benchmark counts as slower, and how many launches are made to find out.

    Attributes:
        threshold: the largest change that passes, as a share.
        thresholds: by name of a benchmark; replaces `threshold`.
        launches: before the first look, and at most.
        more: launches from one look to the next.
        pairs: pairs of samples in a launch (see pairs.py).
    """

    threshold: float = 0.025
    thresholds: Mapping[str, float] = field(default_factory=dict)
    launches: tuple[int, int] = (16, 64)
    more: int = 8
    pairs: int = 6

    @property
    def looks(self) -> int:
        """The largest number of looks in a round."""
        first, most = self.launches
        return 1 + -(-(most - first) // self.more)

    def of(self, name: str) -> float:
        """The threshold of a benchmark."""
        return self.thresholds.get(name, self.threshold)


class RoundVerdict(Enum):
    """The verdict of one round on one benchmark; the value is the outcome if it is the last round."""

    UNDECIDED = Outcome.INCONCLUSIVE
    SLOWER = Outcome.REGRESSED
    FAST_ENOUGH = Outcome.PASSED
    BROKEN = Outcome.BROKEN


@dataclass(slots=True)
class BenchmarkRound:
    """One round of one benchmark: its samples, and the estimate and verdict of the last look."""

    base: list[list[float]] = field(default_factory=list)
    head: list[list[float]] = field(default_factory=list)
    estimate: SlowdownEstimate | None = None
    verdict: RoundVerdict = RoundVerdict.UNDECIDED
    problem: LaunchProblem | None = None
    metric: str = CPU_TIME

    def add(self, name: str, launch: Launch) -> None:
        """Add the samples of another launch."""
        self.metric = GPU_TIME if launch.clocks.get(name) == "cuda" else CPU_TIME
        if name in launch.samples:
            base, head = launch.samples[name]
            self.base.append(base)
            self.head.append(head)
        else:
            self.fail(launch.broken.get(name, LaunchProblem("a launch did not measure it")))

    def fail(self, problem: LaunchProblem) -> None:
        """End the round: the benchmark cannot be measured."""
        self.verdict, self.problem = RoundVerdict.BROKEN, problem

    def look(self, name: str, rule: TimingRule) -> None:
        """Decide, if the samples allow it."""
        self.estimate = estimate_slowdown(name, np.array(self.base), np.array(self.head))
        self.verdict = judge_slowdown(self.estimate, rule.of(name), rule.looks)


def judge_slowdown(found: SlowdownEstimate, threshold: float, looks: int) -> RoundVerdict:
    """The verdict of one look."""
    low, high = found.for_looks(looks)
    if found.change > threshold and low > 0:
        return RoundVerdict.SLOWER
    return RoundVerdict.FAST_ENOUGH if high < threshold else RoundVerdict.UNDECIDED


def decide(
    source: LaunchSource,
    names: Sequence[str],
    rule: TimingRule,
    *,
    budget_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> list[Check]:
    """Decide on all benchmarks, in the order of `names`; each launch measures those that are still undecided.

    Args:
        budget_s: seconds for both rounds together, by `clock`.
    """
    began = clock()
    first = {name: BenchmarkRound() for name in names}

    def slower() -> list[str]:
        return [name for name in names if first[name].verdict is RoundVerdict.SLOWER]

    def is_first_late() -> bool:
        return clock() - began > budget_s * (FIRST_ROUND_SHARE if slower() else 1)

    run_round(source, first, rule, is_first_late)
    second = {name: BenchmarkRound() for name in slower()}
    run_round(source, second, rule, lambda: clock() - began > budget_s)
    last = {**first, **second}
    p_values = adjusted_by_holm({name: found.estimate.p_value for name, found in last.items() if found.estimate})
    return [
        _check(name, first[name], second.get(name), rule.of(name), p_values.get(name, 1.0), rule.looks)
        for name in names
    ]


def run_round(
    source: LaunchSource, rounds: dict[str, BenchmarkRound], rule: TimingRule, is_late: Callable[[], bool]
) -> None:
    """Make launches for the benchmarks in `rounds` until all are decided, or it is too late."""
    first, most = rule.launches
    made, wanted = 0, first
    while undecided := [name for name in rounds if rounds[name].verdict is RoundVerdict.UNDECIDED]:
        made += _gather(source, undecided, wanted, rounds, is_late)
        for name in undecided:
            if rounds[name].verdict is RoundVerdict.UNDECIDED and made >= first:
                rounds[name].look(name, rule)
        wanted = min(rule.more, most - made)
        if wanted <= 0 or is_late():
            break


def _gather(
    source: LaunchSource,
    names: Sequence[str],
    wanted: int,
    rounds: dict[str, BenchmarkRound],
    is_late: Callable[[], bool],
) -> int:
    """Add launches to the rounds; returns how many were made."""
    made = 0
    try:
        for launch in source(names, wanted):
            made += 1
            for name in names:
                if rounds[name].verdict is not RoundVerdict.BROKEN:
                    rounds[name].add(name, launch)
            if is_late() or all(rounds[name].verdict is RoundVerdict.BROKEN for name in names):
                break
    except Broken as broken:
        for name in names:
            rounds[name].fail(LaunchProblem(str(broken)))
    return made


def _check(
    name: str, first: BenchmarkRound, second: BenchmarkRound | None, threshold: float, p_value: float, looks: int
) -> Check:
    last = second or first
    found = last.estimate
    return Check(
        kind=NAME,
        name=name,
        metric=last.metric,
        outcome=last.verdict.value,
        base=found.base_s if found else None,
        head=found.head_s if found else None,
        change=found.change if found else None,
        interval=found.for_looks(looks) if found else None,
        threshold=threshold,
        detail=str(last.problem) if last.problem else _detail(first, second, p_value),
        failed_sides=last.problem.failed_sides if last.problem else (),
    )


def _detail(first: BenchmarkRound, second: BenchmarkRound | None, p_value: float) -> str:
    last = second or first
    parts = [f"{len(first.base)} launches"]
    if second and first.estimate:
        parts = [
            f"{len(first.base)} launches showed {first.estimate.change:+.1%}, {len(second.base)} more to confirm it"
        ]
    if last.estimate is None:
        return ", ".join([*parts, "too little time to decide: raise the budget"])
    parts.append(f"adjusted p {p_value:.2g}")
    if last.estimate.dropped:
        parts.append(f"{last.estimate.dropped} impossible samples dropped")
    return ", ".join(parts)
