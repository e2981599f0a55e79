"""Which computed positions were wasted, and how long the device was idle: two bars per policy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...records import Run
from ...records.metrics import finished_mask, makespan_ns, memory_bound_share
from ..judging.contender import labels_of
from ..numbers import three_digits
from ..page.svg import PHASES, page_style, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "What was computed, and how the time was spent"
DESCRIPTION = (
    "Two bars for each policy. Left: the computed token positions, divided into needed positions, positions that were "
    "computed again after evictions, padding, and positions of requests that did not finish. Right: the time, divided "
    "into computing, computing while a request waits for memory, and idle."
)
_POSITIONS = {
    "needed": PHASES["decode"],
    "computed again": PHASES["evicted"],
    "padding": PHASES["padding"],
    "unfinished": PHASES["queued"],
}
_TIMES = {
    "computing": PHASES["decode"],
    "computing while requests wait for memory": PHASES["prefill"],
    "idle": PHASES["queued"],
}
_MILLION = 10**6
_LEAST_TO_SHOW, _LEAST_FOR_TEXT, _LEAST_FOR_AMOUNT = 0.1, 7.0, 18.0  # % of a bar


@dataclass(frozen=True, slots=True)
class Waste:
    """The use of a run's computed token positions, and of its time.

    Attributes:
        positions: number of positions by use, in the order of the bar; they add up to all computed positions.
        shares_of_time: shares of the makespan, in the order of the bar; they add up to 1, or to 0 if nothing finished.
    """

    positions: Mapping[str, int]
    shares_of_time: Mapping[str, float]


def waste(run: Run) -> Waste:
    """Account for every computed position and for the whole makespan."""
    r, steps, done = run.requests, run.steps, finished_mask(run)
    computed = int((steps["prefill_tokens"] + steps["decode_rows"] * steps["steps"]).sum())
    needed = int((r["prompt_tokens"] + r["output_tokens"] - 1)[done].sum())
    again = int(r["recomputed_tokens"].sum())
    padding = int(steps["padding_tokens"].sum())
    positions = (needed, again, padding, computed - needed - again - padding)
    return Waste(dict(zip(_POSITIONS, positions, strict=True)), dict(zip(_TIMES, _shares_of_time(run), strict=True)))


def _shares_of_time(run: Run) -> tuple[float, float, float]:
    if not makespan_ns(run):
        return 0.0, 0.0, 0.0
    busy = min(
        int(run.steps["duration_ns"].sum()) / makespan_ns(run), 1.0
    )  # failing steps may come after the last finish
    kept_out = min(memory_bound_share(run), busy)
    return busy - kept_out, kept_out, 1 - busy


def waste_figure(runs: Sequence[Run]) -> "Figure":
    """Two panels of bars, one row per run. Shares that no run has are not in the legends."""
    from matplotlib.figure import Figure

    found = [waste(run) for run in runs]
    with page_style():
        figure = Figure(figsize=(9, 1.0 + 0.5 * len(runs)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        _draw(left, "of the positions computed, M: millions", _POSITIONS, [each.positions for each in found], _MILLION)
        _draw(right, "of the time", _TIMES, [each.shares_of_time for each in found])
        for row, (label, each) in enumerate(zip(labels_of([run.info for run in runs]), found, strict=True)):
            total = three_digits(sum(each.positions.values()) / _MILLION)
            name = f"{shortened(label)}: {total} million positions"
            left.text(0, row - 0.34, name, fontsize=8, va="bottom", in_layout=False)
        left.set_ylim(len(runs) - 0.6, -0.75)
        left.set_yticks([])
    return figure


def _draw(
    panel: "Axes", title: str, colours: Mapping[str, str], rows: Sequence[Mapping[str, float]], unit: int = 0
) -> None:
    """Draw bars of 100 %, one above the other. With a unit, wide parts also show their amount in it."""
    starts = [0.0] * len(rows)
    for name, colour in colours.items():
        widths = [100 * row[name] / (sum(row.values()) or 1) for row in rows]
        if max(widths) < _LEAST_TO_SHOW:
            continue
        panel.barh(range(len(rows)), widths, left=starts, height=0.56, color=colour, label=name, linewidth=0)
        for y, (row, width) in enumerate(zip(rows, widths, strict=True)):
            if width > _LEAST_FOR_TEXT:
                amount = f", {three_digits(row[name] / unit)} M" if unit and width > _LEAST_FOR_AMOUNT else ""
                ink = "white" if colour == PHASES["decode"] else "black"
                where = (starts[y] + width / 2, y)
                panel.annotate(f"{width:.0f} %{amount}", where, color=ink, ha="center", va="center", fontsize=8)
        starts = [start + width for start, width in zip(starts, widths, strict=True)]
    panel.set_xlim(0, 100)
    panel.set_xlabel(f"% {title}")
    panel.grid(visible=False)
    for side in ("left", "right", "top"):
        panel.spines[side].set_visible(False)
    if panel.containers:
        panel.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=len(colours), fontsize=8, columnspacing=1.2)
