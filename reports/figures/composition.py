"""What batches consisted of over time: one panel per policy, and below it the number of waiting requests."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...records import Run
from ..judging.contender import labels_of
from ..numbers import three_digits
from ..page.svg import INK, PHASES, legend_above, page_style, title
from .time_axis import TimeAxis, area_under, envelope, time_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

TITLE = "What batches consisted of over time"
DESCRIPTION = (
    "One panel for each policy: the running requests, stacked by what they do: decode, prefill, pause, or stay in the "
    "batch after their end. Below it, the requests that waited."
)
_LAYERS = {
    "decoding": PHASES["decode"],
    "prefilling": PHASES["prefill"],
    "pausing": PHASES["queued"],
    "ended, still in the batch": PHASES["padding"],
}
_WAITING = "waiting (below, logarithmic)"
_VISIBLE = 0.02  # of the height of the stack; a thinner layer is only a line


def composition(run: Run) -> dict[str, Array]:
    """The running requests of each step by what they do, from the bottom of the stack up. They add up to `running`.

    Only static batches keep the rows of requests that have ended. A request pauses if it has no turn in a step of
    prefills, or if its step ran out of memory.
    """
    steps = run.steps
    decodes = (steps["steps"] > 0) & (steps["prefill_tokens"] == 0)
    ended = np.where(decodes, steps["padding_tokens"] // np.maximum(steps["steps"], 1), 0)
    others = steps["running"] - steps["decode_rows"]
    prefilling = np.where(steps["prefill_tokens"] > 0, others - steps["paused_rows"], 0)
    layers = (steps["decode_rows"] - ended, prefilling, others - prefilling, ended)
    return dict(zip(_LAYERS, layers, strict=True))


def composition_figure(runs: Sequence[Run], drawn: Sequence[int] | None = None) -> "Figure":
    """A figure with one panel per run, all with the same axes. Layers that no run has are not in the legend.

    Args:
        drawn: positions of the runs that get a panel; None for all. The axes always cover all runs.
    """
    from matplotlib.figure import Figure

    axis = TimeAxis.of(runs)
    drawn = range(len(runs)) if drawn is None else drawn
    with page_style():
        figure = Figure(figsize=(9, 0.9 + 1.75 * len(drawn)), layout="constrained")
        heights = [3, 1] * len(drawn)
        panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        legend: dict[str, Any] = {}
        labels = labels_of([run.info for run in runs])
        for position, batch, queue in zip(drawn, panels[::2], panels[1::2], strict=True):
            run = runs[position]
            _draw_batch(batch, composition(run), run, axis, legend)
            _draw_queue(queue, run, axis, legend)
            title(batch, labels[position], f"{_facts(run)}{axis.beyond(run)}")
        _same_heights(runs, axis, list(panels[::2]), list(panels[1::2]))
        axis.label(panels[-1])
        figure.supylabel("requests", fontsize=9, color=INK)
        shown = [name for name in (*_LAYERS, _WAITING) if name in legend]
        legend_above(figure, [legend[name] for name in shown], shown)
    return figure


def _facts(run: Run) -> str:
    steps = run.steps
    prefills = steps["prefill_tokens"] > 0
    chunk = float(steps["prefill_tokens"][prefills].mean()) if prefills.any() else 0.0
    count = steps["steps"] * (steps["decode_rows"] > 0)
    rows = float((steps["decode_rows"] * count).sum() / max(int(count.sum()), 1))
    return f"{three_digits(rows)} rows per decode step, {three_digits(chunk)} tokens per prefill step"


def _draw_batch(panel: "Axes", layers: dict[str, Array], run: Run, axis: TimeAxis, legend: dict[str, Any]) -> None:
    """Draw the layers from the top down: each reaches down to 0, and the layers below cover it."""
    heights = [time_mean(run.steps, layer, axis.edges_s) for layer in layers.values()]
    tops = np.cumsum(heights, axis=0)
    for name, height, top in reversed(list(zip(layers, heights, tops, strict=True))):
        if height.max() > _VISIBLE * tops.max():
            (area,) = panel.fill(*area_under(axis.middles, top), color=_LAYERS[name], linewidth=0)
            legend.setdefault(name, area)
    panel.tick_params(bottom=False)


def _draw_queue(panel: "Axes", run: Run, axis: TimeAxis, legend: dict[str, Any]) -> None:
    waiting = run.steps["waiting"]
    if waiting.any():
        longest = envelope(run.steps["start_ns"] / 1e9, waiting, axis.edges_s)[1]
        (line,) = panel.plot(axis.middles, longest, color=INK, linewidth=1)
        legend.setdefault(_WAITING, line)


def _same_heights(runs: Sequence[Run], axis: TimeAxis, batches: "Sequence[Axes]", queues: "Sequence[Axes]") -> None:
    """Set the heights of all panels for the largest batch and the longest queue on the time axis."""
    highest = max(float(time_mean(run.steps, run.steps["running"], axis.edges_s).max()) for run in runs)
    queued = [run.steps["waiting"][run.steps["start_ns"] < axis.end_s * 1e9] for run in runs]
    longest = float(max(each.max(initial=1) for each in queued))
    decades = int(np.log10(longest))
    ticks = sorted({0, 10 ** (decades // 2), 10**decades} if decades > 1 else {0, 10**decades})
    for panel in batches:
        panel.set_ylim(0, 1.05 * highest or 1)
    for panel in queues:
        panel.set_yscale("function", functions=(np.log1p, np.expm1))
        panel.set_ylim(0, longest * 1.5)
        panel.set_yticks(ticks, [f"{tick:,}" for tick in ticks], fontsize=8)
