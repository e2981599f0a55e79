"""The page of a gate: its checks, drawn and explained, and the results of earlier gates."""

import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from ...page.escaping import line
from ...page.page import render_page, write_page
from ..classes.gate_class import ShownClass
from ..classes.registry import by_class, shown_classes
from ..history import machine_key
from ..result import Check, GateResult, Outcome
from ..wording import (
    ATTENTION,
    ORDER,
    WORDS,
    gate_verdict,
    interval_text,
    outcome_counts,
    signed_percent,
    value_texts,
    worst_first,
)

_FEW = 15
"""If more checks than this need no attention, they are shown folded."""
_GATES = 40
_FIGURES = 200

OUTCOMES = {
    Outcome.BROKEN: "missing, renamed, crashed, or not a number: the result is unknown, and the gate does not pass",
    Outcome.REGRESSED: "worse than the limit allows",
    Outcome.CHANGED: "an exact figure differs, for better or worse: accept it with a reason",
    Outcome.INCONCLUSIVE: "the measurement was too noisy to decide in the time that was allowed",
    Outcome.WAIVED: "failed, but the configuration allows it until a date, with a reason",
    Outcome.REPORTED: "for information",
    Outcome.PASSED: "within the rule of its class",
}
"""The meaning of each outcome."""


def write_gate_page(result: GateResult, history: Sequence[GateResult], path: Path) -> None:
    """Write one self-contained HTML page; the file is complete or not written.

    Args:
        history: earlier gates, the oldest first; may end with `result`.

    Raises OutputRefused: the file cannot be written.
    """
    write_page(gate_page(result, history), path)


def gate_page(result: GateResult, history: Sequence[GateResult]) -> str:
    """The page as HTML. The same results give the same bytes."""
    classes = shown_classes()
    gates = [gate for gate in history if any(_blocks(classes, check.kind) for check in gate.checks)]
    changed = _changed(history, {name for name, each in classes.items() if each.lists_changes})
    return render_page(
        "gate.html.jinja",
        word=WORDS[result.exit_code],
        verdict=gate_verdict(result),
        exit_code=result.exit_code,
        counts=[(outcome, result.count(outcome)) for outcome in ORDER if result.count(outcome)],
        facts=_facts(result),
        command=line(result.command, 2000),
        notes=[line(note, 1000) for note in result.notes],
        classes=[_section(name, classes.get(name), checks, history) for name, checks in by_class(result.checks)],
        gates=[_gate(gate) for gate in gates[: -_GATES - 1 : -1]],
        gates_left_out=max(0, len(gates) - _GATES),
        changed=changed[:_FIGURES],
        changed_left_out=max(0, len(changed) - _FIGURES),
        rules={name: each.rule for name, each in classes.items()},
        outcomes=OUTCOMES,
    )


def _blocks(classes: Mapping[str, ShownClass], kind: str) -> bool:
    return kind not in classes or classes[kind].blocks


def _facts(result: GateResult) -> list[tuple[str, str]]:
    facts = {"date": result.date, "base": result.base, "head": result.head, "took": f"{result.seconds:,.0f} s"}
    return [(name, line(value, 200)) for name, value in (*facts.items(), *sorted(result.machine.items())) if value]


def _section(
    name: str, shown: ShownClass | None, checks: Sequence[Check], history: Sequence[GateResult]
) -> Mapping[str, Any]:
    """One class; `shown` is None if this version does not know it."""
    ordered = worst_first(checks)
    attention = [check for check in ordered if check.outcome in ATTENTION]
    others = [check for check in ordered if check.outcome not in ATTENTION]
    is_few = len(others) <= _FEW
    with warnings.catch_warnings():
        # The browser's fonts draw the text, so it does not matter if matplotlib's own font lacks a letter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure = shown.figure(ordered, history) if shown else ""
    return {
        "kind": line(name, 40),
        "rule": shown.rule if shown else "",
        "summary": outcome_counts(checks, ORDER),
        "shown": [_cells(check) for check in (attention + others if is_few else attention)],
        "folded": [] if is_few else [_cells(check) for check in others],
        "figure": figure,
    }


def _cells(check: Check) -> Mapping[str, Any]:
    base, head = value_texts(check)
    return {
        "outcome": check.outcome,
        "name": line(check.name, 200),
        "metric": line(check.metric, 100),
        "base": base,
        "head": head,
        "change": signed_percent(check.change),
        "interval": interval_text(check),
        "limit": "" if check.threshold is None else signed_percent(check.threshold),
        "detail": line(check.detail, 600),
    }


def _gate(gate: GateResult) -> Mapping[str, Any]:
    return {
        "date": line(gate.date, 40),
        "head": line(gate.head, 40),
        "word": WORDS[gate.exit_code],
        "counts": outcome_counts(gate.checks, ORDER) or "nothing was checked",
    }


def _changed(history: Iterable[GateResult], kinds: Iterable[str]) -> list[Mapping[str, Any]]:
    """The figures of some classes that changed over time on one machine: first, latest, and since when."""
    series = defaultdict(list)
    for gate in history:
        for check in gate.checks:
            if check.kind in kinds and check.head is not None:
                key = (check.kind, check.name, check.metric, machine_key(gate.machine))
                series[key].append((check.head, gate))
    return [_change(key, points) for key, points in sorted(series.items()) if any(p[0] != points[0][0] for p in points)]


def _change(
    key: tuple[str, str, str, str], points: Sequence[tuple[float | int | str, GateResult]]
) -> Mapping[str, Any]:
    kind, name, metric, _ = key
    first, latest = points[0][0], points[-1][0]
    since = next((i for i in range(len(points) - 1, 0, -1) if points[i - 1][0] != latest), 0)
    before, after = value_texts(Check(kind, name, metric, Outcome.REPORTED, first, latest))
    return {
        "kind": kind,
        "name": line(name, 200),
        "metric": line(metric, 100),
        "first": before,
        "latest": after,
        "change": signed_percent(_ratio(first, latest)),
        "times": sum(a[0] != b[0] for a, b in pairwise(points)),
        "since": f"{line(points[since][1].date, 40)} ({line(points[since][1].head, 12)})",
    }


def _ratio(first: float | int | str, latest: float | int | str) -> float | None:
    if isinstance(first, str) or isinstance(latest, str) or not first:
        return None
    return latest / first - 1
