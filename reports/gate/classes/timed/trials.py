"""Trials of the timed class: it decides on builds whose difference is known, and its wrong decisions are counted."""

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

import msgspec

from ...result import Outcome
from .decision import TimingRule, decide
from .pairs import Side, launch_source


class TrialSetting(StrEnum):
    """What a trial compares."""

    SAME = "a/a"
    SLOWED = "slowed"
    LOADED = "a/a under load"


class GateTrial(msgspec.Struct, frozen=True):
    """One decision of the gate, a line of the journal."""

    setting: TrialSetting
    outcome: Outcome
    change: float | None
    seconds: float
    detail: str


class TrialTally(msgspec.Struct, frozen=True):
    """The trials of one setting.

    Attributes:
        gates: number of trials.
        wrong: number of false alarms, missed slow-downs and broken trials.
        wrong_rate_bound: 95 % upper bound of the true rate of wrong decisions (Clopper-Pearson).
    """

    gates: int
    outcomes: dict[str, int]
    wrong: int
    wrong_rate_bound: float
    seconds: float


class Certification(msgspec.Struct, frozen=True):
    """The tallies of all trials, by setting."""

    benchmark: str
    threshold: float
    tallies: dict[str, TrialTally]


def run_trials(
    sides: tuple[Side, Side],
    slow: Side,
    files: Sequence[Path],
    *,
    benchmark: str,
    rule: TimingRule,
    wanted: Mapping[TrialSetting, int],
    journal: Path,
    root: Path,
    budget_s: float,
    on_trial: Callable[[GateTrial], None] = lambda trial: None,
) -> Certification:
    """Let the gate decide on one benchmark many times.

    Args:
        sides: base and head, two builds of the same source.
        slow: a build that is slower by more than the threshold; takes the place of head.
        wanted: number of trials by setting.
        journal: JSON lines, one a trial. Trials that it already has are not repeated.
        budget_s: seconds for one trial.
    """
    for setting in wanted:
        head = slow if setting is TrialSetting.SLOWED else sides[1]
        source = launch_source(sides[0], head, files, pairs=rule.pairs, root=root, timeout_s=budget_s)
        for _ in range(wanted[setting] - sum(trial.setting is setting for trial in read_journal(journal))):
            began = time.monotonic()
            with busy_cores(setting is TrialSetting.LOADED):
                (check,) = decide(source, [benchmark], rule, budget_s=budget_s)
            trial = GateTrial(setting, check.outcome, check.change, time.monotonic() - began, check.detail)
            with journal.open("ab") as file:
                file.write(msgspec.json.encode(trial) + b"\n")
            on_trial(trial)
    return tally_trials(read_journal(journal), benchmark, rule)


def read_journal(journal: Path) -> list[GateTrial]:
    """The trials so far."""
    lines = journal.read_bytes().splitlines(keepends=True) if journal.exists() else []
    # A line without an end was cut off when the process was stopped.
    return [msgspec.json.decode(line, type=GateTrial) for line in lines if line.endswith(b"\n")]


def tally_trials(trials: Sequence[GateTrial], benchmark: str, rule: TimingRule) -> Certification:
    """Count the outcomes."""
    tallies = {}
    for setting in TrialSetting:
        outcomes = [trial.outcome for trial in trials if trial.setting is setting]
        wrong = sum(_is_wrong(setting, outcome) for outcome in outcomes)
        if outcomes:
            tallies[setting.value] = TrialTally(
                gates=len(outcomes),
                outcomes={outcome.value: outcomes.count(outcome) for outcome in Outcome if outcome in outcomes},
                wrong=wrong,
                wrong_rate_bound=rate_bound(wrong, len(outcomes)),
                seconds=sum(trial.seconds for trial in trials if trial.setting is setting),
            )
    return Certification(benchmark, rule.of(benchmark), tallies)


def _is_wrong(setting: TrialSetting, outcome: Outcome) -> bool:
    if setting is TrialSetting.SLOWED:
        return outcome is not Outcome.REGRESSED
    return outcome in (Outcome.REGRESSED, Outcome.BROKEN)


def rate_bound(events: int, trials: int, confidence: float = 0.95) -> float:
    """One-sided upper bound of the rate of events (Clopper-Pearson): at this rate so few have a chance of 5 %."""
    low, high = events / trials, 1.0
    while events < trials and high - low > 1e-9:
        rate = (low + high) / 2
        as_few = sum(math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(events + 1))
        low, high = (rate, high) if as_few > 1 - confidence else (low, rate)
    return high


@contextmanager
def busy_cores(wanted: bool) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run one busy loop on each core, if wanted."""
    cores = len(os.sched_getaffinity(0)) if wanted else 0
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
    try:
        yield loops
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
