"""The series of the trend class: figures of replays over time, kept in the history of the gate."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from .....errors import InvalidRun
from .....records import RunInfo, read_info
from ...history import machine_key
from ...result import Check, GateResult, Outcome

NAME = "trend"

_METRICS: dict[str, Callable[[RunInfo], float | None]] = {
    "makespan, s": lambda info: info.summary["makespan_s"],
    "total tokens/s": lambda info: info.summary["total_tok_s"],
    "TTFT mean, s": lambda info: info.summary["ttft_s"]["mean"],
    "TPOT p99, s": lambda info: info.summary["tpot_s"]["p99"],
    "peak VRAM, bytes": lambda info: info.summary["peak_vram_bytes"],
}


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """One figure of one replay, with its date and the commit that was replayed."""

    date: str
    head: str
    value: float


@dataclass(frozen=True, slots=True)
class TrendSeries:
    """One figure over time, the oldest point first, of one scenario and policy on one device."""

    title: str
    metric: str
    points: list[TrendPoint]


def points_of_run(folder: Path, *, date: str) -> GateResult:
    """The figures of a finished replay as points to append to the history.

    The series is named by scenario, policy, model and trace; its machine is the device. Raises InvalidRun: the run is
    simulated, or was interrupted.
    """
    info = read_info(folder)
    if info.machine is None or info.kind != "real":
        raise InvalidRun(f"{folder} is not a replay on a GPU, and trends are made of replays: choose a run of `replay`")
    if not info.complete:
        raise InvalidRun(f"{folder} was interrupted: run it again")
    scenario = info.scenario
    name = f"{scenario.name}: {info.policy}, {scenario.model}, trace {scenario.trace.content_hash[:8]}"
    found = {metric: value_of(info) for metric, value_of in _METRICS.items()}
    checks = [
        Check(NAME, name, metric, Outcome.REPORTED, head=value) for metric, value in found.items() if value is not None
    ]
    commit = info.versions.get("commit", "unknown")
    return GateResult(date, info.command, "", commit, {"device": info.machine.device}, 0.0, checks)


def series_of(results: Iterable[GateResult]) -> list[TrendSeries]:
    """Every series in a history, by device and name."""
    points = defaultdict(list)
    for result in sorted(results, key=lambda result: result.date):
        for check in result.checks:
            # A point has no base: a trend check with a base is an earlier finding in the same history.
            if check.kind == NAME and check.base is None and _is_number(check.head):
                key = (machine_key(result.machine), check.name, check.metric)
                points[key].append(TrendPoint(result.date, result.head, float(check.head)))
    return [
        TrendSeries(f"{name} on {', '.join(json.loads(machine).values())}", metric, found)
        for (machine, name, metric), found in sorted(points.items())
    ]


def _is_number(value: float | int | str | None) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)
