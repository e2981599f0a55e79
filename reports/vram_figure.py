"""VRAM over time: one panel a policy, with what it may use, what it reserves, and where it ran out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..csrc import EVENTS
from ..metrics import makespan_ns
from ..records import Run
from .svg import COLOURS, INK, OOM, page_style
from .verdict import labels_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
GIB = 1 << 30
_BUCKETS = 500
_MARKS = 250
_LONGEST = 1.3  # in makespans of the fastest run: what is slower runs off the right edge, and says so


@dataclass(frozen=True, slots=True)
class Envelope:
    """A curve in buckets of time: the least and the most in each, and the time in seconds of its middle."""

    time_s: Array
    least: Array
    most: Array


def vram_figure(runs: Sequence[Run]) -> "Figure":
    """A figure with one panel for each run, all with the same axes."""
    from matplotlib.figure import Figure

    spans = [makespan_ns(run) / 1e9 for run in runs]
    end_s = min(max(spans), _LONGEST * min((s for s in spans if s), default=1.0)) or 1.0
    with page_style():
        figure = Figure(figsize=(9, 0.6 + 1.55 * len(runs)), layout="constrained")
        panels = figure.subplots(len(runs), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        labels = labels_of([run.info for run in runs])
        for position, (run, label, panel, span) in enumerate(zip(runs, labels, panels, spans, strict=True)):
            _draw(panel, run, label, COLOURS[position % len(COLOURS)], end_s, span)
        memory = runs[0].info.scenario.memory
        floor = memory.fixed_bytes / GIB
        top = max(run.info.scenario.memory.budget_bytes for run in runs) / GIB
        panels[0].set_ylim(floor - 0.04 * (top - floor), top + 0.16 * (top - floor))
        panels[0].set_xlim(0, _in_unit(end_s)[0])
        panels[-1].set_xlabel(f"time ({_in_unit(end_s)[1]})")
        figure.supylabel("VRAM (GiB), from the weights up", fontsize=9, color=INK)
    return figure


def _draw(panel: "Axes", run: Run, label: str, colour: str, end_s: float, span_s: float) -> None:
    memory = run.info.scenario.memory
    fixed = memory.fixed_bytes
    scale = _in_unit(end_s)[0] / end_s
    used = envelope(*_used(run, fixed), end_s)
    panel.fill_between(used.time_s * scale, fixed / GIB, used.most / GIB, color=colour, alpha=0.22, linewidth=0)
    panel.fill_between(used.time_s * scale, used.least / GIB, used.most / GIB, color=colour, alpha=0.85, linewidth=0.4)
    if (run.steps["reserved_bytes"] > run.steps["kv_bytes"]).any():
        reserved = envelope(*_reserved(run, fixed), end_s)
        panel.plot(reserved.time_s * scale, reserved.most / GIB, color=INK, linewidth=0.8, linestyle=(0, (2, 1.5)))
    budget = memory.budget_bytes / GIB
    panel.axhline(budget, color=INK, linewidth=1)
    above = budget + 0.08 * (budget - fixed / GIB)
    counts = [_mark(panel, run, kinds, above, scale, end_s) for kinds in (("oom",), ("preempt", "swap-out"))]
    facts = f"{counts[0]:,} out-of-memory steps, {counts[1]:,} evictions, budget {budget:.1f} GiB"
    late = f"; runs on to {_in_unit(span_s)[0]:,.0f} {_in_unit(span_s)[1]}" if span_s > 1.01 * end_s else ""
    panel.set_title(f"{label}: {facts}{late}")


def _mark(panel: "Axes", run: Run, kinds: tuple[str, ...], height: float, scale: float, end_s: float) -> int:
    """Marks such events along the top, at most `_MARKS` of them, evenly chosen; returns how many there are."""
    times = run.events["t_ns"][np.isin(run.events["event"], [EVENTS.index(kind) for kind in kinds])] / 1e9
    shown = times[times <= end_s]
    if len(shown) > _MARKS:
        shown = shown[np.linspace(0, len(shown) - 1, _MARKS).astype(int)]
    style = {"marker": "x", "color": OOM, "s": 18} if "oom" in kinds else {"marker": "|", "color": INK, "s": 22}
    panel.scatter(shown * scale, np.full(len(shown), height), linewidths=0.9, clip_on=True, **style)  # type: ignore[arg-type]
    return len(times)


def _used(run: Run, fixed: int) -> tuple[Array, Array]:
    """The curve of bytes in use: it grows within a macro-step and falls to weights and context when nothing runs."""
    steps = run.steps
    start, duration, used = (steps[name] for name in ("start_ns", "duration_ns", "vram_used_bytes"))
    return _curve(start, duration, used - (steps["kv_bytes"] - steps["kv_start_bytes"]), used, fixed)


def _reserved(run: Run, fixed: int) -> tuple[Array, Array]:
    start, duration, reserved = (run.steps[name] for name in ("start_ns", "duration_ns", "reserved_bytes"))
    return _curve(start, duration, reserved + fixed, reserved + fixed, fixed)


def _curve(start: Array, duration: Array, first: Array, last: Array, idle: int) -> tuple[Array, Array]:
    """Points (time in s, bytes) of a broken line through the rows, with the idle value in the gaps between them."""
    end = start + duration
    gap = np.append(start[1:] > end[:-1], True)
    following = np.append(start[1:], end[-1:])
    times = np.stack([start, end, end, following], axis=1)
    values = np.stack([first, last, np.where(gap, idle, last), np.where(gap, idle, last)], axis=1)
    return times.ravel() / 1e9, values.ravel().astype(float)


def envelope(time_s: Array, values: Array, end_s: float) -> Envelope:
    """The least and most of a broken line in each of a fixed number of buckets from 0 to `end_s`."""
    edges = np.linspace(0, end_s, _BUCKETS + 1)
    at_edges = np.interp(edges, time_s, values) if len(time_s) else np.zeros(_BUCKETS + 1)
    least, most = np.minimum(at_edges[:-1], at_edges[1:]), np.maximum(at_edges[:-1], at_edges[1:])
    inside = time_s < end_s
    bucket = (time_s[inside] / end_s * _BUCKETS).astype(int)
    np.minimum.at(least, bucket, values[inside])
    np.maximum.at(most, bucket, values[inside])
    return Envelope((edges[:-1] + edges[1:]) / 2, least, most)


def _in_unit(seconds: float) -> tuple[float, str]:
    return (seconds / 60, "min") if seconds >= 300 else (seconds, "s")
