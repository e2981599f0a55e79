"""What the timed gate can do on this machine: the slow-down that it finds, and how often it is wrong.

`detectable` resamples launches of a program against itself; `certify` has real gates decide on real builds.
"""

import math
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

import msgspec
import numpy as np

from .pairs import Launch, Side, launch_source
from .result import Outcome
from .statistics import Array, estimate
from .timed import Rule, decide

POWER = 0.99
ALARMS = 0.01

_GATES = 400  # that are resampled: enough for a 99th percentile
_RESAMPLES = 500


def detectable(launches: Sequence[Launch], rule: Rule) -> dict[str, float]:
    """The smallest slow-down, as a share, that is found with 99 % power at no more than 1 % false alarms.

    Args:
        launches: of a program against itself, on this machine; at least as many as there are before the first look.

    Benchmarks that any launch could not measure are left out.
    """
    names = [name for name in launches[0].samples if all(name in each.samples for each in launches)]
    return {name: _detectable(name, [each.samples[name] for each in launches], rule) for name in names}


def _detectable(name: str, samples: Sequence[tuple[list[float], list[float]]], rule: Rule) -> float:
    """Of gates that go on until the last look; sides are swapped at random, so that A/A is what is resampled."""
    pairs: Array = np.array(samples)  # (launches, side, samples)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    changes, needed = np.empty(_GATES), np.empty(_GATES)
    for gate in range(_GATES):
        drawn = pairs[rng.integers(len(pairs), size=rule.launches[1])]
        swapped = rng.random((len(drawn), 1)) < 0.5
        base = np.where(swapped, drawn[:, 1], drawn[:, 0])
        head = np.where(swapped, drawn[:, 0], drawn[:, 1])
        found = estimate(name, base, head, _RESAMPLES)
        changes[gate] = found.change
        # A slow-down s scales head, and with it the interval: its lower end is above zero from this s on.
        needed[gate] = 1 / (1 + found.for_looks(rule.looks)[0]) - 1
    seen_twice = float(np.quantile(needed, math.sqrt(POWER)))
    calm, wild = 1 + np.quantile(changes, [1 - POWER, 1 - ALARMS])
    return max(seen_twice, float(wild / calm - 1))


class Setting(StrEnum):
    """What a gate of a certification is put to."""

    SAME = "a/a"
    SLOWED = "slowed"
    LOADED = "a/a under load"


class Gate(msgspec.Struct, frozen=True):
    """One gate of a certification, a line of its journal."""

    setting: Setting
    outcome: Outcome
    change: float | None
    seconds: float
    detail: str


class Tally(msgspec.Struct, frozen=True):
    """The gates of one setting.

    Attributes:
        wrong: a false alarm; a slow-down that was not called a regression; or a broken gate.
        wrong_rate_bound: of the true rate, upper, at 95 % (Clopper-Pearson).
    """

    gates: int
    outcomes: dict[str, int]
    wrong: int
    wrong_rate_bound: float
    seconds: float


class Certification(msgspec.Struct, frozen=True):
    """How often the gate decided how, by setting."""

    benchmark: str
    threshold: float
    tallies: dict[str, Tally]


def certify(
    sides: tuple[Side, Side],
    slow: Side,
    files: Sequence[Path],
    *,
    benchmark: str,
    rule: Rule,
    wanted: Mapping[Setting, int],
    journal: Path,
    root: Path,
    budget_s: float,
    on_gate: Callable[[Gate], None] = lambda gate: None,
) -> Certification:
    """Have gates of one benchmark decide, live.

    Args:
        sides: base and head, two builds of the same source.
        slow: a build that is slower by more than the threshold; it takes the place of head.
        wanted: gates by setting.
        journal: JSON lines, one a gate. Gates that it has already are not made again.
        budget_s: of one gate.
    """
    for setting in wanted:
        head = slow if setting is Setting.SLOWED else sides[1]
        source = launch_source(sides[0], head, files, pairs=rule.pairs, root=root, timeout_s=budget_s)
        for _ in range(wanted[setting] - sum(gate.setting is setting for gate in read_journal(journal))):
            began = time.monotonic()
            with busy_cores(setting is Setting.LOADED):
                (check,) = decide(source, [benchmark], rule, budget_s=budget_s)
            gate = Gate(setting, check.outcome, check.change, time.monotonic() - began, check.detail)
            with journal.open("ab") as file:
                file.write(msgspec.json.encode(gate) + b"\n")
            on_gate(gate)
    return tally(read_journal(journal), benchmark, rule)


def read_journal(journal: Path) -> list[Gate]:
    """The gates of a certification so far."""
    lines = journal.read_bytes().splitlines(keepends=True) if journal.exists() else []
    # A line without an end was being written when somebody ended it all.
    return [msgspec.json.decode(line, type=Gate) for line in lines if line.endswith(b"\n")]


def tally(gates: Sequence[Gate], benchmark: str, rule: Rule) -> Certification:
    """Count outcomes."""
    tallies = {}
    for setting in Setting:
        outcomes = [gate.outcome for gate in gates if gate.setting is setting]
        wrong = sum(_is_wrong(setting, outcome) for outcome in outcomes)
        if outcomes:
            tallies[setting.value] = Tally(
                gates=len(outcomes),
                outcomes={outcome.value: outcomes.count(outcome) for outcome in Outcome if outcome in outcomes},
                wrong=wrong,
                wrong_rate_bound=rate_bound(wrong, len(outcomes)),
                seconds=sum(gate.seconds for gate in gates if gate.setting is setting),
            )
    return Certification(benchmark, rule.of(benchmark), tallies)


def _is_wrong(setting: Setting, outcome: Outcome) -> bool:
    if setting is Setting.SLOWED:
        return outcome is not Outcome.REGRESSED
    return outcome in (Outcome.REGRESSED, Outcome.BROKEN)


def rate_bound(events: int, trials: int, confidence: float = 0.95) -> float:
    """Upper bound of the rate of events (Clopper-Pearson, one-sided): with a higher one, so few are less likely."""
    low, high = events / trials, 1.0
    while events < trials and high - low > 1e-9:
        rate = (low + high) / 2
        as_few = sum(math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(events + 1))
        low, high = (rate, high) if as_few > 1 - confidence else (low, rate)
    return high


@contextmanager
def busy_cores(wanted: bool) -> Iterator[list[subprocess.Popen[bytes]]]:
    """One busy loop for each core, if wanted."""
    cores = len(os.sched_getaffinity(0)) if wanted else 0
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
    try:
        yield loops
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
