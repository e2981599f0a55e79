"""When requests waited and ran: one panel per policy, one line per request, or per request of a sample."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...records import Run
from ...records.metrics import summary_of
from ..judging.contender import labels_of
from ..numbers import seconds
from ..page.svg import INK, PHASES, legend_above, page_style, title
from .request_timeline import RequestTimeline, request_timeline, running_rows
from .time_axis import TimeAxis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
Window = tuple[float, float]
Span = tuple[Array, Array, Array]
"""Rows of requests, and the start and end of their phase in ns."""

TITLE = "When requests waited and ran"
DESCRIPTION = (
    "One panel for each policy, with a line for each request or for each request of an even sample, the first to "
    "arrive at the top. The line is thin while the request is queued, then thick, with a colour for prefill, decode, "
    "and the time from an eviction to the next token. If there are many requests, a second panel shows those that ran "
    "in the middle of the run."
)
_LINES = 60
_NEEDS_CLOSE_UP = 4  # requests per line from which on a sample no longer shows which requests ran together
_LEGEND = {"queued": "queued", "prefill": "prefilling", "decode": "decoding", "evicted": "evicted"}
_PANEL_PT = 98
_THIN_PT, _THICKEST_PT = 0.7, 6.0
_FILLED = 0.75  # of the height that each line has
_SHORTEST = 0.007  # share of the axis; a shorter phase is drawn with this length so that it is visible


def gantt_figure(runs: Sequence[Run], drawn: Sequence[int] | None = None) -> "Figure":
    """A figure with one panel per run, all with the same axes, and a close-up beside it if there are many requests.

    Args:
        drawn: positions of the runs that get a panel; None for all. The axes always cover all runs.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter

    axis = TimeAxis.of(runs)
    found = [request_timeline(run) for run in runs]
    drawn = range(len(runs)) if drawn is None else drawn
    most = max(len(each.arrival_ns) for each in found)
    has_close_up = most >= _NEEDS_CLOSE_UP * _LINES
    seen: set[str] = set()
    with page_style():
        figure = Figure(figsize=(9, 0.9 + 1.9 * len(drawn)), layout="constrained")
        widths = [4, 3] if has_close_up else [1]
        panels = figure.subplots(
            len(drawn), len(widths), sharex="col", sharey="col", squeeze=False, width_ratios=widths
        ).T
        labels = labels_of([run.info for run in runs])
        for position, panel in zip(drawn, panels[0], strict=True):
            run, each = runs[position], found[position]
            order = np.argsort(each.arrival_ns, kind="stable")
            places = sampled_positions(len(order))
            seen |= _draw(
                panel, each, order[places], places, (0, axis.end_s), axis.unit_s, len(sampled_positions(most))
            )
            title(panel, labels[position], f"{_facts(run, len(places))}{axis.beyond(run)}")
        panels[0, 0].set_ylim(most, -0.01 * most)
        panels[0, 0].yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axis.label(panels[0, -1])
        if has_close_up:
            seen |= _draw_close_ups(list(panels[1]), found, drawn, axis)
        figure.supylabel("requests, in order of arrival", fontsize=9, color=INK)
        _draw_legend(figure, seen)
    return figure


def sampled_positions(count: int) -> Array:
    """Positions of the requests that get a line: all, or an even sample with the first and the last."""
    return np.linspace(0, count - 1, min(count, _LINES)).round().astype(np.int64)


def _facts(run: Run, shown: int) -> str:
    count, wait = len(run.requests["id"]), summary_of(run.info).wait_s
    evicted = int((run.requests["preemptions"] > 0).sum())
    of = f"{shown:,} of {count:,} requests shown" if shown < count else f"{count:,} requests"
    waits = [f"{name} {seconds(each)}" for name, each in (("p50", wait.p50), ("p90", wait.p90)) if each is not None]
    told = f", wait {', '.join(waits)}" if waits else ""
    return f"{of}{told}, {evicted:,} evicted"


def _draw_close_ups(
    panels: "Sequence[Axes]", found: Sequence[RequestTimeline], drawn: Sequence[int], axis: TimeAxis
) -> set[str]:
    """From the middle of the axis on, for as long as few enough requests run to give each its line. As `_draw`."""
    window = _close_window(found, axis.end_s / 2)
    chosen = [running_rows(each, *window) for each in found]
    lines = len(sampled_positions(max(map(len, chosen))))
    seen: set[str] = set()
    for position, panel in zip(drawn, panels, strict=True):
        rows = chosen[position][sampled_positions(len(chosen[position]))]
        seen |= _draw(panel, found[position], rows, np.arange(len(rows)), window, 1, lines)
    panels[-1].set_xlim(*window)
    panels[-1].set_ylim(lines or 1, -1)
    panels[-1].set_yticks([])
    some = "some of " if max(len(chosen[position]) for position in drawn) > _LINES else ""
    panels[-1].set_xlabel(f"close-up of {some}the running requests: time (s)")
    return seen


def _close_window(found: Sequence[RequestTimeline], begin_s: float) -> Window:
    """The longest window from `begin_s` on in which a line per request fits.

    If more requests than that run at once, twice as many may run in the window.
    """
    at_once = max(len(running_rows(each, begin_s, begin_s)) for each in found)
    windows = [(begin_s, begin_s * (1 + 0.9**power)) for power in range(80)]
    fitting = (
        window
        for window in windows
        if max(len(running_rows(each, *window)) for each in found) <= max(_LINES, 2 * at_once)
    )
    return next(fitting, windows[-1])


def _draw(
    panel: "Axes", each: RequestTimeline, rows: Array, heights: Array, window_s: Window, unit_s: int, lines: int
) -> set[str]:
    """Draw a line at its height for each row, in a panel for `lines` lines. Returns the phases that were drawn.

    All lines of a phase are one broken line, which takes few bytes.
    """
    height = np.full(len(each.arrival_ns), -1)
    height[rows] = heights
    thick = min(_THICKEST_PT, _FILLED * _PANEL_PT / max(lines, 1))
    seen = set()
    for phase, (of, from_ns, to_ns) in spans(each, rows).items():
        there = (from_ns < to_ns) & (from_ns / 1e9 < window_s[1]) & (to_ns / 1e9 > window_s[0])
        if not there.any():
            continue
        seen.add(phase)
        begin, end = (np.clip(times[there] / 1e9, *window_s) for times in (from_ns, to_ns))
        if phase != "queued":
            end = np.maximum(end, begin + _SHORTEST * (window_s[1] - window_s[0]))
        x = np.stack([begin, end, np.full(len(begin), np.nan)], axis=1) / unit_s
        panel.plot(x.ravel(), np.repeat(height[of[there]], 3), **_style(phase, thick))
    return seen


def _style(phase: str, thick: float) -> dict[str, Any]:
    width = _THIN_PT if phase == "queued" else thick
    return {"color": PHASES[phase], "linewidth": width, "solid_capstyle": "butt"}


def _draw_legend(figure: "Figure", seen: set[str]) -> None:
    from matplotlib.lines import Line2D

    shown = [phase for phase in _LEGEND if phase in seen]
    handles = [Line2D([], [], **_style(phase, _THICKEST_PT)) for phase in shown]
    legend_above(figure, handles, [_LEGEND[phase] for phase in shown])


def spans(each: RequestTimeline, rows: Array) -> dict[str, Span]:
    """The spans of each phase, in the order of painting: an eviction lies over the phase in which it happened.

    The other phases follow each other and cover each request from its arrival to its end.
    """
    chosen = np.isin(each.evicted, rows)
    return {
        "queued": (rows, each.arrival_ns[rows], each.admitted_ns[rows]),
        "prefill": (rows, each.admitted_ns[rows], each.first_token_ns[rows]),
        "decode": (rows, each.first_token_ns[rows], each.end_ns[rows]),
        "evicted": (each.evicted[chosen], each.evicted_from_ns[chosen], each.evicted_to_ns[chosen]),
    }
