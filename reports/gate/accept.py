"""Somebody says that changed figures are meant: they become the baseline, and the reason is kept beside them."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from ...errors import InvalidScenario
from . import builds, counted, exact, roster
from .broken import Broken
from .result import Kind, Outcome
from .run import Gate, count_head, present_benchmarks

_T = TypeVar("_T")


class Acceptance(msgspec.Struct, frozen=True):
    """Who reviews a baseline reads this first. `changed` has what is different in words, a line each."""

    date: str
    reason: str
    changed: list[str]


def accept(gate: Gate, reason: str) -> list[str]:
    """Measure the exact and counted classes anew, list the timed one, write the baselines; what changed, a line each.

    Raises InvalidScenario: no reason, or nothing to accept. Broken: it cannot be measured.
    """
    if not reason.strip():
        raise InvalidScenario("--reason is empty: say why the figures may change")
    gate.baseline.mkdir(parents=True, exist_ok=True)
    changed: list[str] = []
    if gate.config.exact and gate.wants(Kind.EXACT):
        path = gate.baseline / "exact.json"
        gate.say("simulating")
        figures = gate.measure_exact(gate.config.exact, gate.path.parent)
        checks = exact.compare(_old(lambda: exact.read_figures(path), {}), figures)
        changed += [
            f"{check.name}: {check.metric}: {check.base} -> {check.head}"
            for check in checks
            if check.outcome is not Outcome.PASSED
        ]
        exact.write_figures(path, figures)
    if gate.config.counted and gate.wants(Kind.COUNTED):
        path = gate.baseline / "counted.json"
        counts = count_head(gate, builds.root_of(gate.path))
        nothing: dict[str, dict[str, int]] = {}
        before = _old(lambda: counted.read_counts(path).counts, nothing)
        changed += _differences(before, counts.counts)
        counted.write_counts(path, counts)
    if gate.config.timed and gate.wants(Kind.TIMED):
        path = gate.baseline / roster.FILE
        names = present_benchmarks(gate, gate.config.timed)
        before_names = _old(lambda: roster.read_roster(path), list[str]())
        changed += [f"{check.name}: {check.detail.partition(':')[0]}" for check in roster.compare(before_names, names)]
        roster.write_roster(path, names)
    _note(gate.baseline / "accepted.json", Acceptance(datetime.now(UTC).date().isoformat(), reason, changed))
    return changed


def _old(read: Callable[[], _T], nothing: _T) -> _T:
    """What was accepted so far; nothing where there is no baseline yet, or none that can be read."""
    try:
        return read()
    except Broken:
        return nothing


def _differences(base: dict[str, dict[str, int]], head: dict[str, dict[str, int]]) -> list[str]:
    lines = []
    for case in sorted({*base, *head}):
        ours, theirs = base.get(case, {}), head.get(case, {})
        for metric in sorted({*ours, *theirs}):
            if ours.get(metric) != theirs.get(metric):
                lines.append(f"{case}: {metric}: {ours.get(metric)} -> {theirs.get(metric)}")
    return lines


def _note(path: Path, acceptance: Acceptance) -> None:
    past: list[Acceptance] = []
    if path.exists():
        try:
            past = msgspec.json.decode(path.read_bytes(), type=list[Acceptance])
        except msgspec.MsgspecError as error:
            raise Broken(f"{path} is damaged: {error}; restore it from git") from None
    if acceptance.changed:
        content = msgspec.json.encode([*past, acceptance])
        path.write_bytes(msgspec.json.format(content, indent=1) + b"\n")
