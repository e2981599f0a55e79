"""Every request over time: queued, prefilling, decoding, evicted. One panel a policy, each a picture of few bytes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..records import Run
from .stays import Stays, running, stays
from .svg import INK, PHASES, legend_above, page_style, title
from .time_axis import TimeAxis
from .verdict import labels_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
Shares = Mapping[str, Array]

TITLE = "Every request over time"
DESCRIPTION = (
    "One panel for each policy, the first request to arrive at the top: pale while it is queued, then coloured by "
    "whether it prefills, decodes, or was evicted and has not made a token since. Of many requests a second panel "
    "shows those that ran in the middle of the run, one by one."
)
_MOST_LINES, _COLUMNS = 150, 480
_CLOSE_LINES, _CLOSE_COLUMNS = 100, 360
_NEEDS_CLOSE_UP = 4  # requests to a line, from which on single ones cannot be seen
_LEGEND = {"queued": "queued", "prefill": "prefilling", "decode": "decoding", "evicted": "evicted"}
_OPACITY = {"queued": 0.4}
_LEVELS = 8  # of opacity of each phase: few colours make a small picture
_NOTHING = 1e-3  # of a level: what sums of floats leave where nobody is


def gantt_figure(runs: Sequence[Run]) -> "Figure":
    """A figure with one panel for each run, all with the same axes, and beside it a close-up if there are many
    requests.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter

    axis = TimeAxis.of(runs)
    found = [stays(run) for run in runs]
    most = max(len(run.requests["id"]) for run in runs)
    a_line = -(-most // _MOST_LINES)
    has_close_up = a_line >= _NEEDS_CLOSE_UP
    seen: set[str] = set()
    with page_style():
        figure = Figure(figsize=(9, 0.9 + 1.75 * len(runs)), layout="constrained")
        widths = [4, 3] if has_close_up else [1]
        panels = figure.subplots(
            len(runs), len(widths), sharex="col", sharey="col", squeeze=False, width_ratios=widths
        ).T
        labels = labels_of([run.info for run in runs])
        for run, each, label, panel in zip(runs, found, labels, panels[0], strict=True):
            rows = np.argsort(each.arrived, kind="stable")
            shares = phase_shares(each, rows, (0, axis.end_s), a_line=a_line, columns=_COLUMNS)
            seen |= _show(panel, shares, (0, axis.end_s / axis.unit_s, a_line * len(shares["queued"]), 0))
            title(panel, label, f"{_facts(run, a_line)}{axis.beyond(run)}")
        panels[0, 0].set_ylim(most, 0)
        panels[0, 0].yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axis.label(panels[0, -1])
        if has_close_up:
            _draw_close_ups(list(panels[1]), found, axis)
        figure.supylabel("requests, in order of arrival", fontsize=9, color=INK)
        _draw_legend(figure, seen)
    return figure


def _facts(run: Run, a_line: int) -> str:
    evicted = int((run.requests["preemptions"] > 0).sum())
    lines = f", {a_line} to a line" if a_line > 1 else ""
    return f"{len(run.requests['id']):,} requests{lines}, {evicted:,} were evicted"


def _draw_close_ups(panels: "Sequence[Axes]", found: Sequence[Stays], axis: TimeAxis) -> None:
    """From the middle of the axis on, for as long as few enough requests run to give each its line."""
    window = _close_window(found, axis.end_s / 2)
    chosen = [running(each, *window) for each in found]
    for each, rows, panel in zip(found, chosen, panels, strict=True):
        if len(rows):
            shares = phase_shares(each, rows, window, a_line=1, columns=_CLOSE_COLUMNS)
            _show(panel, shares, (*window, len(rows), 0))
    panels[-1].set_xlim(*window)
    panels[-1].set_ylim(max(map(len, chosen)) or 1, 0)
    panels[-1].set_yticks([])
    panels[-1].set_xlabel("close-up, those that run: time (s)")


def _close_window(found: Sequence[Stays], begin_s: float) -> tuple[float, float]:
    """The longest window from then on in which few requests run; if many run at once, in which twice as many do."""
    at_once = max(len(running(each, begin_s, begin_s)) for each in found)
    windows = [(begin_s, begin_s * (1 + 0.9**power)) for power in range(80)]
    fitting = (
        window
        for window in windows
        if max(len(running(each, *window)) for each in found) <= max(_CLOSE_LINES, 2 * at_once)
    )
    return next(fitting, windows[-1])


def _show(panel: "Axes", shares: Shares, extent: tuple[float, float, float, float]) -> set[str]:
    """Draw a picture; returns the phases that are in it."""
    panel.imshow(_coloured(shares), extent=extent, aspect="auto", interpolation="none", zorder=2)
    return {phase for phase, share in shares.items() if share.max(initial=0) > 1e-6}


def _draw_legend(figure: "Figure", seen: set[str]) -> None:
    from matplotlib.patches import Patch

    shown = [phase for phase in _LEGEND if phase in seen]
    handles = [Patch(color=PHASES[phase], alpha=_OPACITY.get(phase, 1), linewidth=0) for phase in shown]
    legend_above(figure, handles, [_LEGEND[phase] for phase in shown])


def phase_shares(
    each: Stays, rows: Array, window_s: tuple[float, float], *, a_line: int, columns: int
) -> dict[str, Array]:
    """For each phase a picture of (lines, columns): how much of a line's requests is in it, on the time average of a
    column. Lines hold `a_line` of the rows each, columns divide the window.

    Together the phases cover each request from its arrival to its end.
    """
    line = np.full(len(each.arrived), -1)
    line[rows] = np.arange(len(rows)) // a_line
    shape = (-(-len(rows) // a_line), columns)
    begin_ns, scale = window_s[0] * 1e9, columns / ((window_s[1] - window_s[0]) * 1e9)

    def covered(of: Array, from_ns: Array, to_ns: Array) -> Array:
        wanted = line[of] >= 0
        begin, end = ((times[wanted] - begin_ns) * scale for times in (from_ns, to_ns))
        return _covered(line[of][wanted], begin, end, shape) / a_line

    everybody, away = np.arange(len(line)), each.away
    # What an eviction takes away from the phase in which it fell.
    begun, first = each.begun[away], each.first_token[away]
    in_queue = covered(away, np.minimum(each.away_from, begun), np.minimum(each.away_to, begun))
    after = covered(away, np.maximum(each.away_from, first), np.maximum(each.away_to, first))
    whole = covered(away, each.away_from, each.away_to)
    return {
        "queued": covered(everybody, each.arrived, each.begun) - in_queue,
        "prefill": covered(everybody, each.begun, each.first_token) - (whole - in_queue - after),
        "decode": covered(everybody, each.first_token, each.end) - after,
        "evicted": whole,
    }


def _covered(line: Array, begin: Array, end: Array, shape: tuple[int, int]) -> Array:
    """How much of each column the intervals of a line cover together; begin and end count in columns."""
    slopes = np.zeros((shape[0], shape[1] + 2))
    for edge, sign in ((begin, 1.0), (end, -1.0)):
        inside = np.clip(edge, 0, shape[1])
        column = inside.astype(np.int64)
        part = inside - column
        np.add.at(slopes, (line, column), sign * (1 - part))
        np.add.at(slopes, (line, column + 1), sign * part)
    return np.asarray(np.cumsum(slopes, axis=1)[:, : shape[1]])


def _coloured(shares: Shares) -> Array:
    """The phases' colours mixed by the root of their shares, rounded up, so that a few that run show among many that
    wait. Where nobody is, the page shows through.
    """
    from matplotlib.colors import to_rgb

    weights = {
        phase: np.ceil(np.sqrt(np.clip(share, 0, 1)) * _LEVELS - _NOTHING) / _LEVELS * _OPACITY.get(phase, 1)
        for phase, share in shares.items()
    }
    total = np.sum(list(weights.values()), axis=0)
    colour = np.sum([weight[:, :, None] * to_rgb(PHASES[phase]) for phase, weight in weights.items()], axis=0)
    picture = np.dstack([colour / np.maximum(total, 1e-9)[:, :, None], np.minimum(total, 1)])
    return np.asarray(np.rint(picture * 255), np.uint8)
