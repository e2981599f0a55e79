"""The gate's page: what it found, drawn and explained, and what gates before it found."""

import math
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..page.escaping import line
from ..page.page import render_page, write_page
from .history import machine_key
from .result import Check, GateResult, Kind, Outcome
from .shown import ATTENTION, ORDER, WORDS, counts, in_order, percent, spread, title, values, verdict
from .trend import Series, series_of

_FEW = 15
"""Checks without need of attention that are shown unfolded."""
_GATES = 40
_FIGURES = 200
_SERIES = 12

RULES = {
    Kind.EXACT: "What simulations come to. Equal, or changed: a change for better or worse fails until it is accepted "
    "with a reason (warpgroup gate accept).",
    Kind.COUNTED: "Instructions, allocations, bytes copied. They hardly vary, so a small increase fails: above the "
    "limit, against a base counted with the same compiler, flags and tools.",
    Kind.TIMED: "CPU or GPU time of base and head, run by turns on the same machine: the ratio of 5th percentiles, its "
    "interval from resampled launches. Fails if the change is above the limit and the 99 % interval above zero, in two "
    "rounds; passes if the interval is below the limit; else it is inconclusive.",
    Kind.TREND: "Replays on a GPU over months. Change points are reported and never block.",
}
"""Each class, and what its rule is."""

OUTCOMES = {
    Outcome.BROKEN: "missing, renamed, crashed, or no number: nothing is known, and the gate does not pass",
    Outcome.REGRESSED: "worse than the limit allows",
    Outcome.CHANGED: "an exact figure is another one, better or worse: to be accepted with a reason",
    Outcome.INCONCLUSIVE: "noise hid whatever there was for as long as there was time",
    Outcome.WAIVED: "would have failed, and somebody said why it may, until a date",
    Outcome.REPORTED: "for information",
    Outcome.PASSED: "within its rule",
}
"""What may become of a check."""


def write_gate_page(result: GateResult, history: Sequence[GateResult], path: Path) -> None:
    """One HTML page that needs nothing but itself, whole or not at all.

    Args:
        history: past gates, the oldest first; may hold `result` as its last.

    Raises OutputRefused.
    """
    write_page(gate_page(result, history), path)


def gate_page(result: GateResult, history: Sequence[GateResult]) -> str:
    """The page. The same results give the same bytes."""
    gates = [gate for gate in history if gate.checks and any(check.kind is not Kind.TREND for check in gate.checks)]
    changed = _changed(history)
    return render_page(
        "gate.html.jinja",
        word=WORDS[result.exit_code],
        verdict=verdict(result),
        exit_code=result.exit_code,
        counts=[(outcome, result.count(outcome)) for outcome in ORDER if result.count(outcome)],
        facts=_facts(result),
        command=line(result.command, 2000),
        notes=[line(note, 1000) for note in result.notes],
        classes=[
            _class(kind, checks, history) for kind in Kind if (checks := [c for c in result.checks if c.kind is kind])
        ],
        gates=[_gate(gate) for gate in gates[: -_GATES - 1 : -1]],
        gates_left_out=max(0, len(gates) - _GATES),
        changed=changed[:_FIGURES],
        changed_left_out=max(0, len(changed) - _FIGURES),
        rules=RULES,
        outcomes=OUTCOMES,
    )


def _facts(result: GateResult) -> list[tuple[str, str]]:
    facts = {"date": result.date, "base": result.base, "head": result.head, "took": f"{result.seconds:,.0f} s"}
    return [(name, line(value, 200)) for name, value in (*facts.items(), *sorted(result.machine.items())) if value]


def _class(kind: Kind, checks: Sequence[Check], history: Sequence[GateResult]) -> Mapping[str, Any]:
    ordered = in_order(checks)
    attention = [check for check in ordered if check.outcome in ATTENTION]
    others = [check for check in ordered if check.outcome not in ATTENTION]
    is_few = len(others) <= _FEW
    return {
        "kind": kind,
        "rule": RULES[kind],
        "summary": counts(checks, ORDER),
        "shown": [_cells(check) for check in (attention + others if is_few else attention)],
        "folded": [] if is_few else [_cells(check) for check in others],
        "figure": _figure(kind, ordered, history),
    }


def _cells(check: Check) -> Mapping[str, Any]:
    base, head = values(check)
    return {
        "outcome": check.outcome,
        "name": line(check.name, 200),
        "metric": line(check.metric, 100),
        "base": base,
        "head": head,
        "change": percent(check.change),
        "interval": spread(check),
        "limit": "" if check.threshold is None else percent(check.threshold),
        "detail": line(check.detail, 600),
    }


def _is_drawn(check: Check) -> bool:
    numbers = (check.change, *(check.interval or (None,)), 0.0 if check.threshold is None else check.threshold)
    return all(number is not None and math.isfinite(number) for number in numbers)


def _figure(kind: Kind, checks: Sequence[Check], history: Sequence[GateResult]) -> str:
    """The class as SVG; empty where there is nothing to draw."""
    with warnings.catch_warnings():
        # The page draws text with the reader's fonts; that matplotlib's own lacks a letter matters to nobody.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        if kind is Kind.TIMED:
            return _forest([check for check in checks if _is_drawn(check)])
        return _trends(series_of(history)[:_SERIES]) if kind is Kind.TREND else ""


def _forest(checks: Sequence[Check]) -> str:
    from ..page.svg import inline_svg
    from .forest_figure import forest_figure

    if not checks:
        return ""
    return inline_svg(
        "forest",
        forest_figure(checks),
        "Change of each timed benchmark with its 99 % interval and its limit",
        "; ".join(f"{title(check)}: {percent(check.change)} ({spread(check)}), {check.outcome}" for check in checks),
    )


def _trends(series: Sequence[Series]) -> str:
    from ..page.svg import inline_svg
    from .trend_figure import trend_figure

    if not series:
        return ""
    return inline_svg(
        "trend",
        trend_figure(series),
        "Figures of replays over time",
        "; ".join(f"{line(s.title, 160)}, {line(s.metric, 80)}: {len(s.points)} points" for s in series),
    )


def _gate(gate: GateResult) -> Mapping[str, Any]:
    return {
        "date": line(gate.date, 40),
        "head": line(gate.head, 40),
        "word": WORDS[gate.exit_code],
        "counts": counts(gate.checks, ORDER) or "nothing was checked",
    }


def _changed(history: Iterable[GateResult]) -> list[Mapping[str, Any]]:
    """Exact and counted figures that were not always the same on one machine: first, latest, and when that began."""
    series = defaultdict(list)
    for gate in history:
        for check in gate.checks:
            if check.kind in (Kind.EXACT, Kind.COUNTED) and check.head is not None:
                key = (check.kind, check.name, check.metric, machine_key(gate.machine))
                series[key].append((check.head, gate))
    return [_path(key, points) for key, points in sorted(series.items()) if any(p[0] != points[0][0] for p in points)]


def _path(key: tuple[Kind, str, str, str], points: Sequence[tuple[float | int | str, GateResult]]) -> Mapping[str, Any]:
    kind, name, metric, _ = key
    first, latest = points[0][0], points[-1][0]
    since = next((i for i in range(len(points) - 1, 0, -1) if points[i - 1][0] != latest), 0)
    before, after = values(Check(kind, name, metric, Outcome.REPORTED, first, latest))
    return {
        "kind": kind,
        "name": line(name, 200),
        "metric": line(metric, 100),
        "first": before,
        "latest": after,
        "change": percent(_ratio(first, latest)),
        "times": sum(a[0] != b[0] for a, b in pairwise(points)),
        "since": f"{line(points[since][1].date, 40)} ({line(points[since][1].head, 12)})",
    }


def _ratio(first: float | int | str, latest: float | int | str) -> float | None:
    if isinstance(first, str) or isinstance(latest, str) or not first:
        return None
    return latest / first - 1
