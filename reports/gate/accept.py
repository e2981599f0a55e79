"""Accepts changed figures: they become the baseline, and the reason is kept beside them."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from ...errors import InvalidScenario
from .broken import Broken
from .classes.registry import wanted_classes
from .gate import Gate


class Acceptance(msgspec.Struct, frozen=True):
    """One entry of accepted.json, for the reviewer of a baseline. `changed` has one line for each difference."""

    date: str
    reason: str
    changed: list[str]


def accept_baseline(gate: Gate, reason: str) -> list[str]:
    """Measure the working tree and make its figures the baseline. Returns the differences, one line each.

    Nothing is written before all classes are measured. Raises InvalidScenario: the reason is empty, or no class
    is left to accept. Broken: a class cannot be measured, or accepted.json is damaged.
    """
    if not reason.strip():
        raise InvalidScenario("--reason is empty: say why the figures may change")
    record = gate.baseline / "accepted.json"
    earlier = _earlier(record)
    updates = [each.accept(gate, settings) for each, settings in wanted_classes(gate)]
    if not updates:
        raise InvalidScenario(f"--only excludes every class that {gate.path} configures: there is nothing to accept")
    gate.baseline.mkdir(parents=True, exist_ok=True)
    for update in updates:
        update.write()
    changed = [line for update in updates for line in update.changed]
    if changed:
        today = datetime.now(UTC).date().isoformat()
        content = msgspec.json.encode([*earlier, Acceptance(today, reason, changed)])
        record.write_bytes(msgspec.json.format(content, indent=1) + b"\n")
    return changed


def _earlier(record: Path) -> list[Acceptance]:
    if not record.exists():
        return []
    try:
        return msgspec.json.decode(record.read_bytes(), type=list[Acceptance])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Broken(f"{record} is damaged: {error}; restore it from git") from None
