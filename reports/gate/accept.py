"""Somebody says that changed figures are meant: they become the baseline, and the reason is kept beside them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from ...errors import InvalidScenario
from . import benchmark_list, builds, counted, exact
from .broken import Broken
from .config import ExactClass, TimedClass
from .result import Kind
from .run import Gate, count_head, present_benchmarks

_T = TypeVar("_T")
_Table = Mapping[str, Mapping[str, int | str]]


class Acceptance(msgspec.Struct, frozen=True):
    """Who reviews a baseline reads this first. `changed` has what is different in words, a line each."""

    date: str
    reason: str
    changed: list[str]


@dataclass(frozen=True, slots=True)
class _Part:
    """One class, measured: what changed, and how it becomes the baseline."""

    changed: list[str]
    write: Callable[[], None]


def accept(gate: Gate, reason: str) -> list[str]:
    """Measure the exact and counted classes anew and list the timed one; what changed, a line each.

    Nothing is written before all is measured. Raises InvalidScenario: no reason, or nothing to accept. Broken: it
    cannot be measured, or the list of earlier acceptances is damaged.
    """
    if not reason.strip():
        raise InvalidScenario("--reason is empty: say why the figures may change")
    config, parts = gate.config, list[_Part]()
    record = gate.baseline / "accepted.json"
    past = _past(record)
    if config.exact and gate.wants(Kind.EXACT):
        parts.append(_exact(gate, config.exact))
    if config.counted and gate.wants(Kind.COUNTED):
        parts.append(_counted(gate))
    if config.timed and gate.wants(Kind.TIMED):
        parts.append(_timed(gate, config.timed))
    if not parts:
        raise InvalidScenario(f"--only leaves nothing of {gate.path} to be accepted")
    gate.baseline.mkdir(parents=True, exist_ok=True)
    for part in parts:
        part.write()
    changed = [line for part in parts for line in part.changed]
    if changed:
        today = datetime.now(UTC).date().isoformat()
        content = msgspec.json.encode([*past, Acceptance(today, reason, changed)])
        record.write_bytes(msgspec.json.format(content, indent=1) + b"\n")
    return changed


def _exact(gate: Gate, wanted: ExactClass) -> _Part:
    path = gate.baseline / "exact.json"
    gate.say("simulating")
    figures = gate.measure_exact(wanted, gate.path.parent)
    before = _old(lambda: exact.read_figures(path))
    return _Part(_differences("exact", before, figures), lambda: exact.write_figures(path, figures))


def _counted(gate: Gate) -> _Part:
    path = gate.baseline / "counted.json"
    counts = count_head(gate, builds.root_of(gate.path))
    before = _old(lambda: counted.read_counts(path))
    changed = _differences("counted", before.counts if before else None, counts.counts)
    if before and before.key != counts.key:
        changed.append("counted: by another compiler, valgrind or machine")
    return _Part(changed, lambda: counted.write_counts(path, counts))


def _timed(gate: Gate, wanted: TimedClass) -> _Part:
    path = gate.baseline / benchmark_list.FILE
    names = present_benchmarks(gate, wanted)
    before = _old(lambda: benchmark_list.read_benchmark_list(path))
    changed = _differences("timed", None if before is None else _listed(before), _listed(names))
    return _Part(changed, lambda: benchmark_list.write_benchmark_list(path, names))


def _listed(names: list[str]) -> _Table:
    return {name: {"is there": 1} for name in names}


def _past(record: Path) -> list[Acceptance]:
    if not record.exists():
        return []
    try:
        return msgspec.json.decode(record.read_bytes(), type=list[Acceptance])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Broken(f"{record} is damaged: {error}; restore it from git") from None


def _old(read: Callable[[], _T]) -> _T | None:
    """What was accepted so far; None where there is no baseline yet, or none that can be read."""
    try:
        return read()
    except Broken:
        return None


def _differences(what: str, base: _Table | None, head: _Table) -> list[str]:
    """What is different, a line each; one line for a baseline that is the first."""
    if base is None:
        return [f"{what}: {sum(map(len, head.values()))} figures, the first"]
    lines = []
    for name in sorted({*base, *head}):
        ours, theirs = base.get(name, {}), head.get(name, {})
        for metric in sorted({*ours, *theirs}):
            if ours.get(metric) != theirs.get(metric):
                lines.append(f"{name}: {metric}: {ours.get(metric)} -> {theirs.get(metric)}")
    return lines
