"""VRAM over time: one panel per policy, with its use, its budget, its reservations, and where it ran out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...csrc import EVENTS
from ...records import Run
from ...records.metrics import finished_mask
from ..judging.contender import labels_of
from ..numbers import GIB, gib
from ..page.svg import COLOURS, INK, OOM, legend_above, page_style, title
from .time_axis import TimeAxis, area_under, envelope, time_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
Handles = dict[str, Any]

TITLE = "VRAM over time"
DESCRIPTION = (
    "One panel for each policy: memory in use between the weights and the budget, memory that is held but not filled, "
    "reserved memory, and marks where a step ran out of memory or a request was evicted."
)
_OOMS, _EVICTIONS = ("oom",), ("preempt", "swap-out")
_PREDICTED_NAME = "predicted, where it differs"
_LEGEND = ("in use", "held, not filled", "reserved", _PREDICTED_NAME, "budget", "out of memory", "evicted")
_MARKS = 200
_TICK = np.array([(0, -1), (0, 1), (np.nan, np.nan)])
_CROSS = np.array([(-1, -1), (1, 1), (np.nan, np.nan), (-1, 1), (1, -1), (np.nan, np.nan)])
_MARK_AT, _MARK_HEIGHT, _MARK_WIDTH = 0.93, 0.035, 0.004  # as shares of a panel
_VISIBLE = 0.02  # of the height of a panel; a thinner area is only a line
_RESERVED: Any = (0, (2, 1.5))
_PREDICTED: Any = (0, (5, 1.5))


def vram_figure(runs: Sequence[Run], drawn: Sequence[int] | None = None) -> "Figure":
    """A figure with one panel per run, all with the same axes. The legend has only what is drawn.

    Args:
        drawn: positions of the runs that get a panel; None for all. The axes always cover all runs.
    """
    from matplotlib.figure import Figure

    drawn = range(len(runs)) if drawn is None else drawn

    axis = TimeAxis.of(runs)
    memory = runs[0].info.scenario.memory
    floor = memory.fixed_bytes / GIB
    top = max(int(_budgets(run).max()) for run in runs) / GIB
    with page_style():
        figure = Figure(figsize=(9, 0.9 + 1.55 * len(drawn)), layout="constrained")
        panels = figure.subplots(len(drawn), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        legend: Handles = {}
        labels = labels_of([run.info for run in runs])
        for position, panel in zip(drawn, panels, strict=True):
            run = runs[position]
            _draw(panel, run, COLOURS[position % len(COLOURS)], axis, (top - floor) * GIB, legend)
            title(panel, labels[position], f"{_facts(run)}{axis.beyond(run)}")
        panels[0].set_ylim(floor - 0.04 * (top - floor), top + 0.16 * (top - floor))
        axis.label(panels[-1])
        figure.supylabel("VRAM (GiB)", fontsize=9, color=INK)
        shown = [name for name in _LEGEND if name in legend]
        legend_above(figure, [legend[name] for name in shown], shown)
    return figure


def _facts(run: Run) -> str:
    ooms, evictions = len(_times_s(run, _OOMS)), len(_times_s(run, _EVICTIONS))
    budget = gib(run.info.scenario.memory.budget_bytes)
    return f"{ooms:,} out-of-memory steps, {evictions:,} evictions, budget {budget}"


def _draw(panel: "Axes", run: Run, colour: str, axis: TimeAxis, range_bytes: float, legend: Handles) -> None:
    from matplotlib.patches import Patch

    fixed = run.info.scenario.memory.fixed_bytes
    x, visible = axis.middles, _VISIBLE * range_bytes
    least, most = envelope(*used_curve(run), axis.edges_s)
    panel.fill(*area_under(x, most / GIB, fixed / GIB), color=colour, alpha=0.22, linewidth=0)
    panel.fill_between(x, least / GIB, most / GIB, color=colour, alpha=0.85, linewidth=0.4)
    legend.setdefault("in use", Patch(color=INK, alpha=0.5, linewidth=0))  # in no colour of a policy
    empty = time_mean(run.steps, run.steps["fragmented_bytes"], axis.edges_s)
    if empty.max() > visible:
        hatched = panel.fill_between(
            x, (most - empty) / GIB, most / GIB, facecolor="none", edgecolor=INK, linewidth=0, hatch="////", alpha=0.5
        )
        legend.setdefault("held, not filled", hatched)
    _draw_plans(panel, run, axis, most, visible, legend)
    _draw_budget(panel, run, axis, legend)
    _mark(panel, _times_s(run, _EVICTIONS), _TICK, axis, legend, "evicted", INK)
    _mark(panel, _times_s(run, _OOMS), _CROSS, axis, legend, "out of memory", OOM)


def _draw_plans(panel: "Axes", run: Run, axis: TimeAxis, most: Array, visible: float, legend: Handles) -> None:
    """Draw what was reserved for requests, and the predicted need of steps where it differs from the real one."""
    steps, fixed = run.steps, run.info.scenario.memory.fixed_bytes
    if (steps["reserved_bytes"] > steps["kv_bytes"]).any():
        reserved = envelope(*_curve(run, steps["reserved_bytes"] + fixed), axis.edges_s)[1]
        (line,) = panel.plot(axis.middles, reserved / GIB, color=INK, linewidth=0.8, linestyle=_RESERVED)
        legend.setdefault("reserved", line)
    ran = steps["steps"] > 0  # the need of a step that ran out of memory predicts no step that ran
    over = np.where(ran, steps["predicted_bytes"] - steps["vram_used_bytes"], 0)
    predicted = envelope(*used_curve(run, over), axis.edges_s)[1]
    differs = np.abs(predicted - most) > visible
    if differs.any():
        shown = np.where(differs, predicted, np.nan)
        (line,) = panel.plot(axis.middles, shown / GIB, color=INK, linewidth=0.8, linestyle=_PREDICTED)
        legend.setdefault(_PREDICTED_NAME, line)


def _draw_budget(panel: "Axes", run: Run, axis: TimeAxis, legend: Handles) -> None:
    budgets = _budgets(run)
    times_s = np.append(0.0, run.steps["start_ns"] / 1e9)
    changed = np.append(True, np.diff(budgets) != 0)
    x = np.append(times_s[changed], axis.end_s) / axis.unit_s
    values = np.append(budgets[changed], budgets[-1]) / GIB
    (line,) = panel.plot(x, values, color=INK, linewidth=1, drawstyle="steps-post")
    legend.setdefault("budget", line)


def _budgets(run: Run) -> Array:
    """The budget at the start and in each step, in bytes."""
    return np.append(run.info.scenario.memory.budget_bytes, run.steps["vram_budget_bytes"])


def _times_s(run: Run, kinds: tuple[str, ...]) -> Array:
    chosen = np.isin(run.events["event"], [EVENTS.index(kind) for kind in kinds])
    return np.asarray(run.events["t_ns"][chosen] / 1e9)


def _mark(
    panel: "Axes", times_s: Array, strokes: Array, axis: TimeAxis, legend: Handles, name: str, colour: str
) -> None:
    """Mark events along the top with a few strokes each: at most `_MARKS` of them, evenly chosen.

    All marks are one broken line: as markers they would take most of the bytes of the page.
    """
    from matplotlib.lines import Line2D

    shown = times_s[times_s <= axis.end_s]
    if len(shown) > _MARKS:
        shown = shown[np.linspace(0, len(shown) - 1, _MARKS).astype(int)]
    if not len(shown):
        return
    end = axis.end_s / axis.unit_s
    x = shown[:, None] / axis.unit_s + strokes[:, 0] * _MARK_WIDTH * end
    y = np.broadcast_to(_MARK_AT + strokes[:, 1] * _MARK_HEIGHT, x.shape)
    panel.plot(x.ravel(), y.ravel(), color=colour, linewidth=0.9, transform=panel.get_xaxis_transform())
    marker = "|" if strokes is _TICK else "x"
    legend.setdefault(name, Line2D([], [], color=colour, linewidth=0, marker=marker, markersize=5, markeredgewidth=0.9))


def used_curve(run: Run, more: Array | int = 0) -> tuple[Array, Array]:
    """Bytes in use, plus `more` bytes in each step, as points (time in s, bytes) of a piecewise linear curve.

    They grow within a macro-step, and fall to the fixed bytes when no request runs.
    """
    used, grown = run.steps["vram_used_bytes"], run.steps["kv_bytes"] - run.steps["kv_start_bytes"]
    return _curve(run, used + more, grown)


def _curve(run: Run, last: Array, grown: Array | int = 0) -> tuple[Array, Array]:
    """Points of a piecewise linear curve through the ends of all steps. Each step grew by `grown` to `last`."""
    start, idle = run.steps["start_ns"], run.info.scenario.memory.fixed_bytes
    end = start + run.steps["duration_ns"]
    following = np.append(start[1:], end[-1:])
    after = np.where(_is_any_request_running(run, end), last, idle)
    times = np.stack([start, end, end, following], axis=1)
    values = np.stack([last - grown, last, after, after], axis=1)
    return times.ravel() / 1e9, values.ravel().astype(float)


def _is_any_request_running(run: Run, times_ns: Array) -> Array:
    """Whether, right after each time, a request is between its admission and its end, and so holds memory."""
    r, done = run.requests, finished_mask(run)
    begun = np.searchsorted(np.sort(r["admitted_ns"][done]), times_ns, side="right")
    ended = np.searchsorted(np.sort(r["finish_ns"][done]), times_ns, side="right")
    return np.asarray(begun > ended)
