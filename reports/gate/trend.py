"""The trend class: figures of replays over months, on one GPU each; change points are reported and never block."""

import json
import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import TypeGuard

from ...errors import InvalidRun
from ...records import RunInfo, command_line, read_info
from .history import machine_key, read_history
from .result import Check, GateResult, Kind, Outcome
from .shown import percent

LEAST_POINTS = 8
"""A shorter series has no change points worth a word."""
_MOST_P = 0.001
_LEAST_CHANGE = 0.01
_WINDOW = 50

Finder = Callable[[list[float]], list[int]]
"""From a series to the positions at which it changed, ascending; each is the first point of the new level."""

_METRICS: dict[str, Callable[[RunInfo], float | None]] = {
    "makespan, s": lambda info: info.summary["makespan_s"],
    "total tokens/s": lambda info: info.summary["total_tok_s"],
    "TTFT mean, s": lambda info: info.summary["ttft_s"]["mean"],
    "TPOT p99, s": lambda info: info.summary["tpot_s"]["p99"],
    "peak VRAM, bytes": lambda info: info.summary["peak_vram_bytes"],
}


@dataclass(frozen=True, slots=True)
class Point:
    """One figure of one replay, and what was replayed when."""

    date: str
    head: str
    value: float


@dataclass(frozen=True, slots=True)
class Series:
    """One figure over time, the oldest first, of one scenario and policy on one device."""

    title: str
    metric: str
    points: list[Point]


def points_of_run(folder: Path, *, date: str) -> GateResult:
    """A finished replay as points to append to the history.

    The series is named by scenario, policy, model and trace; its machine is the device. Raises InvalidRun: the run is
    simulated, or was interrupted.
    """
    info = read_info(folder)
    if info.machine is None or info.kind != "real":
        raise InvalidRun(f"{folder} is a simulation, and trends are of replays on a GPU: choose a run of `replay`")
    if not info.complete:
        raise InvalidRun(f"{folder} was interrupted: run it again")
    scenario = info.scenario
    name = f"{scenario.name}: {info.policy}, {scenario.model}, trace {scenario.trace.content_hash[:8]}"
    found = {metric: value_of(info) for metric, value_of in _METRICS.items()}
    checks = [
        Check(Kind.TREND, name, metric, Outcome.REPORTED, head=value)
        for metric, value in found.items()
        if value is not None
    ]
    commit = info.versions.get("commit", "unknown")
    return GateResult(date, info.command, "", commit, {"device": info.machine.device}, 0.0, checks)


def trend(history: Path, *, now: str) -> list[Check]:
    """One check a series of at least 8 points: where it changed last, and by how much. Never anything but REPORTED.

    Args:
        now: ISO 8601 in UTC, as in GateResult.date; later points are left out.

    Raises InvalidScenario: the history cannot be read.
    """
    find = _finder()
    results = [result for result in read_history(history) if result.date <= now]
    return [_finding(series, find) for series in series_of(results) if len(series.points) >= LEAST_POINTS]


def trend_result(history: Path, *, now: str) -> GateResult:
    """What `trend` found, as a result from which every output can be made. Raises InvalidScenario."""
    few = Check(Kind.TREND, "history", "series", Outcome.REPORTED, detail=f"none has {LEAST_POINTS} points yet")
    return GateResult(now, command_line(), "", "", {}, 0.0, trend(history, now=now) or [few])


def series_of(results: Iterable[GateResult]) -> list[Series]:
    """Every series, by device and name."""
    points = defaultdict(list)
    for result in sorted(results, key=lambda result: result.date):
        for check in result.checks:
            # A point is compared with nothing: what has a base is an earlier finding, kept in the same history.
            if check.kind is Kind.TREND and check.base is None and _is_number(check.head):
                key = (machine_key(result.machine), check.name, check.metric)
                points[key].append(Point(result.date, result.head, float(check.head)))
    return [
        Series(f"{name} on {', '.join(json.loads(machine).values())}", metric, found)
        for (machine, name, metric), found in sorted(points.items())
    ]


def _is_number(value: float | int | str | None) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def _finding(series: Series, find: Finder | None) -> Check:
    points = series.points
    numbers = [point.value for point in points]
    starts = find(numbers) if find else []
    levels = [_mean(numbers[a:b]) for a, b in pairwise([0, *starts, len(numbers)])]
    base, head = (levels[-2], levels[-1]) if starts else (_mean(numbers[:-1]), numbers[-1])
    return Check(
        Kind.TREND,
        series.title,
        series.metric,
        Outcome.REPORTED,
        base=base,
        head=head,
        change=head / base - 1 if base else None,
        detail=_detail(points, starts, levels) if find else "change points need `pip install apache-otava`",
    )


def _detail(points: Sequence[Point], starts: Sequence[int], levels: Sequence[float]) -> str:
    if not starts:
        return f"no change point in {len(points)} points"
    found = [
        f"{percent(after / before - 1 if before else None)} at {points[start].date[:16]} ({points[start].head[:12]})"
        for start, (before, after) in zip(starts, pairwise(levels), strict=True)
    ]
    return f"last changed by {'; before that '.join(found[::-1])}; {len(points)} points"


def _mean(numbers: Sequence[float]) -> float:
    return math.fsum(numbers) / len(numbers)


def _finder() -> Finder | None:
    """E-divisive with a t-test by apache-otava; None where that is not installed."""
    try:
        compute_change_points = import_module("otava.analysis").compute_change_points
    except ImportError:
        return None

    def find(numbers: list[float]) -> list[int]:
        with warnings.catch_warnings():
            # Of a series that does not vary: its t-test divides 0 by 0, which is no change point.
            warnings.simplefilter("ignore", RuntimeWarning)
            # A list, not an array: of an array apache-otava 0.8 searches the whole in every window.
            found, _ = compute_change_points(numbers, _WINDOW, _MOST_P, _LEAST_CHANGE)
        return [point.index for point in found]

    return find
