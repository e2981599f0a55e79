"""Runs a gate: measures each class of its configuration and collects the checks."""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from ...errors import InvalidScenario
from . import builds
from .broken import Broken
from .classes.gate_class import GateClass
from .classes.registry import wanted_classes
from .config import GateConfig
from .gate import Gate
from .machine import machine_now
from .result import Check, GateResult, Outcome
from .waivers import apply_waivers


def run_gate(gate: Gate) -> GateResult:
    """Gate the working tree.

    A class that cannot be measured becomes a broken check. Raises InvalidScenario: wrong usage.
    """
    began = time.monotonic()
    wanted, root, notes = wanted_classes(gate), gate.root, list[str]()
    if not wanted:
        raise InvalidScenario(f"--only excludes every class that {gate.path} configures: there is nothing to gate")
    needs_base = any(each.needs_base for each, _ in wanted)
    base = builds.branched_from(root, gate.base) if needs_base else ""
    gate = replace(gate, base_commit=base, note=notes.append)
    checks: list[Check] = []
    for each, settings in wanted:
        found = _measured(each, gate, settings)
        checks += found if each.blocks else map(_only_reported, found)
    today = datetime.now(UTC)
    checks, remarks = apply_waivers(checks, gate.config.waive, today.date())
    if not gate.only:
        remarks += _unused_thresholds(gate.config, checks)
    return GateResult(
        date=today.isoformat(timespec="seconds"),
        command=gate.command,
        base=base or "baseline",
        head=builds.head_of(root),
        machine=machine_now(),
        seconds=round(time.monotonic() - began, 1),
        checks=checks,
        notes=[*notes, *remarks, f"load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"],
    )


def _measured(gate_class: GateClass[Any], gate: Gate, settings: Any) -> list[Check]:
    """The checks of a class; one broken check if it cannot be measured or has none."""
    name = gate_class.name
    try:
        checks = gate_class.measure(gate, settings)
    except Broken as broken:
        return [Check(name, f"[{name}]", "harness", Outcome.BROKEN, detail=str(broken))]
    return checks or [Check(name, f"[{name}]", "harness", Outcome.BROKEN, detail="the class made no check")]


def _only_reported(check: Check) -> Check:
    """A check of a class that never fails the gate."""
    if check.outcome in (Outcome.PASSED, Outcome.REPORTED):
        return check
    detail = "; ".join(filter(None, (f"{check.outcome}, which does not fail the gate", check.detail)))
    return msgspec.structs.replace(check, outcome=Outcome.REPORTED, detail=detail)


def _unused_thresholds(config: GateConfig, checks: Sequence[Check]) -> list[str]:
    unused = {*config.thresholds} - {check.name for check in checks}
    return [f"no benchmark is named {name}, which has a threshold: remove the threshold" for name in sorted(unused)]
