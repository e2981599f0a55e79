"""The timed class: is head slower than base, decided as soon as the samples allow, and at most so late.

After 16 launches, and then after every 8 more, each benchmark that is still undecided is looked at:

    slower        the change is above the threshold, and the lower end of its 99 % interval above zero
    fast enough   the upper end is below the threshold
    undecided     neither: more launches, until there are 64 or the time is up

The interval is the one that holds over all looks at once. A slower one has to be slower again in a second round, of
fresh launches by the same rule, before it is called a regression.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from .broken import Broken
from .pairs import Launch
from .result import Check, Kind, Outcome
from .statistics import Estimate, adjusted_by_holm, estimate

CPU_TIME, GPU_TIME = "CPU time, s a call", "GPU time, s a call"
FIRST_ROUND_SHARE = 0.6
"""Of the time, once something seems slower: the rest is for its second round."""

Source = Callable[[Sequence[str], int], Iterable[Launch]]
"""From names of benchmarks to that many launches of them, made one by one as they are asked for."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When a benchmark is slower, and how long to look for it.

    Attributes:
        threshold: the largest change that passes, as a share.
        thresholds: the same for single benchmarks, by name.
        launches: before the first look, and at most.
        more: launches from one look to the next.
        pairs: of samples in a launch (see pairs.py).
    """

    threshold: float = 0.025
    thresholds: Mapping[str, float] = field(default_factory=dict)
    launches: tuple[int, int] = (16, 64)
    more: int = 8
    pairs: int = 6

    @property
    def looks(self) -> int:
        """How many there are in a round, at most."""
        first, most = self.launches
        return 1 + -(-(most - first) // self.more)

    def of(self, name: str) -> float:
        """A benchmark's threshold."""
        return self.thresholds.get(name, self.threshold)


class Verdict(Enum):
    """Of one round on one benchmark."""

    UNDECIDED = Outcome.INCONCLUSIVE
    SLOWER = Outcome.REGRESSED
    FAST_ENOUGH = Outcome.PASSED
    BROKEN = Outcome.BROKEN


@dataclass(slots=True)
class Finding:
    """What a round knows about one benchmark: its samples, and what they came to at the last look."""

    base: list[list[float]] = field(default_factory=list)
    head: list[list[float]] = field(default_factory=list)
    estimate: Estimate | None = None
    verdict: Verdict = Verdict.UNDECIDED
    problem: str = ""
    metric: str = CPU_TIME

    def add(self, name: str, launch: Launch) -> None:
        """Another launch's samples."""
        self.metric = GPU_TIME if launch.clocks.get(name) == "cuda" else CPU_TIME
        if name in launch.samples:
            base, head = launch.samples[name]
            self.base.append(base)
            self.head.append(head)
        else:
            self.verdict = Verdict.BROKEN
            self.problem = launch.broken.get(name, "a launch did not measure it")

    def look(self, name: str, rule: Rule) -> None:
        """Decide, if the samples allow."""
        found = self.estimate = estimate(name, np.array(self.base), np.array(self.head))
        self.verdict = verdict(found, rule.of(name), rule.looks)


def verdict(found: Estimate, threshold: float, looks: int) -> Verdict:
    """Of one look."""
    low, high = found.for_looks(looks)
    if found.change > threshold and low > 0:
        return Verdict.SLOWER
    return Verdict.FAST_ENOUGH if high < threshold else Verdict.UNDECIDED


def decide(
    source: Source,
    names: Sequence[str],
    rule: Rule,
    *,
    budget_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> list[Check]:
    """Decide on all benchmarks, in the order of their names; each launch measures all that are still undecided."""
    began = clock()
    first = {name: Finding() for name in names}

    def slower() -> list[str]:
        return [name for name in names if first[name].verdict is Verdict.SLOWER]

    def is_first_late() -> bool:
        return clock() - began > budget_s * (FIRST_ROUND_SHARE if slower() else 1)

    take_round(source, first, rule, is_first_late)
    second = {name: Finding() for name in slower()}
    take_round(source, second, rule, lambda: clock() - began > budget_s)
    last = {**first, **second}
    p_values = adjusted_by_holm({name: found.estimate.p_value for name, found in last.items() if found.estimate})
    return [
        _check(name, first[name], second.get(name), rule.of(name), p_values.get(name, 1.0), rule.looks)
        for name in names
    ]


def take_round(source: Source, findings: dict[str, Finding], rule: Rule, is_late: Callable[[], bool]) -> None:
    """Launches into findings, by name, until everything is decided, or too late."""
    first, most = rule.launches
    made, wanted = 0, first
    while undecided := [name for name in findings if findings[name].verdict is Verdict.UNDECIDED]:
        made += _gather(source, undecided, wanted, findings, is_late)
        for name in undecided:
            if findings[name].verdict is Verdict.UNDECIDED and made >= first:
                findings[name].look(name, rule)
        wanted = min(rule.more, most - made)
        if wanted <= 0 or is_late():
            break


def _gather(
    source: Source, names: Sequence[str], wanted: int, findings: dict[str, Finding], is_late: Callable[[], bool]
) -> int:
    """Launches into findings; how many."""
    made = 0
    try:
        for launch in source(names, wanted):
            made += 1
            for name in names:
                if findings[name].verdict is not Verdict.BROKEN:
                    findings[name].add(name, launch)
            if is_late() or all(findings[name].verdict is Verdict.BROKEN for name in names):
                break
    except Broken as broken:
        for name in names:
            findings[name].verdict, findings[name].problem = Verdict.BROKEN, str(broken)
    return made


def _check(name: str, first: Finding, second: Finding | None, threshold: float, p_value: float, looks: int) -> Check:
    last = second or first
    found = last.estimate
    return Check(
        kind=Kind.TIMED,
        name=name,
        metric=last.metric,
        outcome=last.verdict.value,
        base=found.base_s if found else None,
        head=found.head_s if found else None,
        change=found.change if found else None,
        interval=found.for_looks(looks) if found else None,
        threshold=threshold,
        detail=last.problem or _detail(first, second, p_value),
    )


def _detail(first: Finding, second: Finding | None, p_value: float) -> str:
    last = second or first
    said = [f"{len(first.base)} launches"]
    if second and first.estimate:
        said.append(f"slower by {first.estimate.change:.1%} in these, {len(second.base)} fresh ones to confirm it")
    if last.estimate is None:
        return ", ".join([*said, "no time for a look: raise the budget"])
    said.append(f"adjusted p {p_value:.2g}")
    if last.estimate.dropped:
        said.append(f"{last.estimate.dropped} impossible samples dropped")
    return ", ".join(said)
