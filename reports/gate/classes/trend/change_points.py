"""Finds change points in the series of a history, for `warpgroup gate trend`."""

import math
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path

from .....records import command_line
from ...history import read_history
from ...result import Check, GateResult, Outcome
from ...wording import signed_percent
from .series import NAME, TrendPoint, TrendSeries, series_of

LEAST_POINTS = 8
"""A shorter series is too short for change points."""
_MOST_P = 0.001
_LEAST_CHANGE = 0.01
_WINDOW = 50

ChangeFinder = Callable[[list[float]], list[int]]
"""From a series to the positions at which it changed, ascending; each is the first point of a new level."""


def find_changes(history: Path, *, now: str) -> list[Check]:
    """One reported check for each series of at least 8 points: the place and size of its last change.

    Args:
        now: ISO 8601 in UTC, as in GateResult.date; later points are left out.

    Raises InvalidScenario: the history cannot be read.
    """
    find = _finder()
    results = [result for result in read_history(history) if result.date <= now]
    return [_finding(series, find) for series in series_of(results) if len(series.points) >= LEAST_POINTS]


def trend_result(history: Path, *, now: str) -> GateResult:
    """The checks of `find_changes` as a result, from which every output can be made. Raises InvalidScenario."""
    detail = f"no series has {LEAST_POINTS} points yet"
    too_short = Check(NAME, "history", "series", Outcome.REPORTED, detail=detail)
    return GateResult(now, command_line(), "", "", {}, 0.0, find_changes(history, now=now) or [too_short])


def _finding(series: TrendSeries, find: ChangeFinder | None) -> Check:
    points = series.points
    numbers = [point.value for point in points]
    starts = find(numbers) if find else []
    levels = [_mean(numbers[a:b]) for a, b in pairwise([0, *starts, len(numbers)])]
    base, head = (levels[-2], levels[-1]) if starts else (_mean(numbers[:-1]), numbers[-1])
    return Check(
        NAME,
        series.title,
        series.metric,
        Outcome.REPORTED,
        base=base,
        head=head,
        change=head / base - 1 if base else None,
        detail=_detail(points, starts, levels) if find else "to find change points, `pip install apache-otava`",
    )


def _detail(points: Sequence[TrendPoint], starts: Sequence[int], levels: Sequence[float]) -> str:
    if not starts:
        return f"no change point in {len(points)} points"
    changes = []
    for start, (before, after) in zip(starts, pairwise(levels), strict=True):
        change = signed_percent(after / before - 1 if before else None)
        changes.append(f"{change} at {points[start].date[:16]} ({points[start].head[:12]})")
    return f"last changed by {'; before that '.join(changes[::-1])}; {len(points)} points"


def _mean(numbers: Sequence[float]) -> float:
    return math.fsum(numbers) / len(numbers)


def _finder() -> ChangeFinder | None:
    """E-divisive with a t-test, by apache-otava; None if that is not installed."""
    try:
        compute_change_points = import_module("otava.analysis").compute_change_points
    except ImportError:
        return None

    def find(numbers: list[float]) -> list[int]:
        with warnings.catch_warnings():
            # For a constant series the t-test divides 0 by 0, which is not a change point.
            warnings.simplefilter("ignore", RuntimeWarning)
            # A list, because apache-otava 0.8 searches the whole of an array in every window.
            found, _ = compute_change_points(numbers, _WINDOW, _MOST_P, _LEAST_CHANGE)
        return [point.index for point in found]

    return find
