"""Figures of replays over time: one panel for each series."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ....page.escaping import line
from ....page.svg import COLOURS, page_style
from .series import TrendSeries

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def trend_figure(shown: Sequence[TrendSeries]) -> "Figure":
    """The panels, from the top down in the order of `shown`; each series has at least one point, the oldest first."""
    import matplotlib
    from matplotlib.figure import Figure

    with page_style(), matplotlib.rc_context({"text.parse_math": False}):
        figure = Figure(figsize=(4.3, 1.15 * len(shown)), layout="constrained")
        for panel, series in zip(figure.subplots(len(shown), squeeze=False)[:, 0], shown, strict=True):
            values = [point.value for point in series.points]
            panel.plot(range(len(values)), values, color=COLOURS[0], linewidth=1.4, marker="o", markersize=3.5)
            panel.set_title(line(f"{series.metric}, {series.title}", 62), fontsize=8)
            ends = (0, len(values) - 1) if len(values) > 1 else (0,)
            panel.set_xticks(ends, [line(series.points[end].date[:10], 10) for end in ends])
            panel.yaxis.set_major_formatter(lambda value, _: f"{value:,.4g}")
            panel.tick_params(labelsize=8)
            panel.locator_params(axis="y", nbins=3)
            panel.margins(x=0.06, y=0.15)
            panel.spines[["right", "top"]].set_visible(False)
    return figure
