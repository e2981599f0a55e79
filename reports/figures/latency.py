"""The distributions of TTFT, TPOT and E2E over requests, one line per policy."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...records import Run
from ...records.metrics import e2e_s, tpot_s, ttft_s
from ..judging.contender import labels_of
from ..page.svg import INK, legend_above, line_style, page_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
TITLE = "How long requests took"
DESCRIPTION = (
    "For each policy, the share of finished requests whose time to the first token (TTFT), mean time per token (TPOT) "
    "and time to the last token (E2E) is within a limit, with the limits of the SLO. The vertical axis is stretched "
    "above 90 %: 90 to 99 % is as high as 99 to 99.9 %."
)
_POINTS = 160
_SHORTEST_S = 1e-4
_BODY = 0.9
_DECADE = (
    np.log(10) * (1 - _BODY) / _BODY
)  # in heights of the body; with this value lines have no kink where the tail begins
_HIGHEST = 0.9995


def latency_figure(runs: Sequence[Run], winner: int | None = None) -> "Figure":
    """Three panels: the share of finished requests over the time that they took, and the SLO if there is one.

    Args:
        winner: position of the run with the thickest line.
    """
    from matplotlib.figure import Figure

    scenario = runs[0].info.scenario
    columns = (("TTFT", ttft_s, scenario.slo_ttft_s), ("TPOT", tpot_s, scenario.slo_tpot_s), ("E2E", e2e_s, None))
    with page_style():
        figure = Figure(figsize=(9, 3.5), layout="constrained")
        panels = figure.subplots(1, len(columns), sharey=True)
        for panel, (name, values_of, slo_s) in zip(panels, columns, strict=True):
            lines = [_draw(panel, values_of(run), i, wins=i == winner) for i, run in enumerate(runs)]
            if slo_s is not None:
                panel.axvline(slo_s, color=INK, linewidth=1, linestyle=(0, (1, 2)))
                panel.annotate(
                    f"SLO {slo_s:g} s",
                    (slo_s, 1),
                    xycoords=("data", "axes fraction"),
                    xytext=(0, 3),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                )
            panel.set_xlabel(f"{name} (s)")
            scale_seconds(panel)
        scale_shares(panels[0], max(len(ttft_s(run)) for run in runs))
        panels[0].set_ylabel("share of finished requests")
        legend_above(figure, lines, labels_of([run.info for run in runs]))
    return figure


def _draw(panel: "Axes", values: Array, position: int, *, wins: bool) -> Any:
    seconds, shares = quantiles(values)
    (line,) = panel.plot(seconds, shares, **line_style(position, wins=wins))
    return line


def quantiles(values: Array) -> tuple[Array, Array]:
    """Values, and the share of values up to each, evenly spaced on the vertical axis. NaN values are left out."""
    values = values[~np.isnan(values)]
    if not len(values):
        return np.array([np.nan]), np.array([np.nan])
    shares = _share(np.linspace(0, _height(np.array(_top(len(values)))), _POINTS))
    return np.maximum(np.quantile(values, shares, method="inverted_cdf"), _SHORTEST_S), shares


def _top(requests: int) -> float:
    return min(1 - 0.5 / max(requests, 1), _HIGHEST)


def _height(share: Array) -> Array:
    """The height of a share on the axis: linear up to 90 %; above, each decade of the missing share is equally high."""
    missing = np.maximum(1 - np.asarray(share), 1e-9)
    return np.where(missing >= 1 - _BODY, share / _BODY, 1 + _DECADE * np.log10((1 - _BODY) / missing))


def _share(height: Array) -> Array:
    """The share at a height: the inverse of `_height`."""
    tail = 1 - (1 - _BODY) * 10.0 ** -((np.maximum(height, 1) - 1) / _DECADE)
    return np.where(height <= 1, height * _BODY, tail)


def scale_shares(panel: "Axes", requests: int) -> None:
    """Set a vertical axis of shares with a stretched tail, up to the share that this number of requests can show."""
    top = _top(requests)
    ticks = [share for share in (0, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999) if share <= top]
    panel.set_yscale("function", functions=(_height, _share))
    panel.set_ylim(0, top)
    panel.set_yticks(ticks, [f"{share * 100:g} %" for share in ticks])
    panel.set_yticks([], minor=True)


def scale_seconds(panel: "Axes") -> None:
    """Set a logarithmic horizontal axis of at least a decade, with ticks in plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    panel.set_xscale("log")
    low, high = panel.get_xlim()
    if high < 10 * low:
        middle = (low * high) ** 0.5
        low, high = middle / 10**0.5, middle * 10**0.5
        panel.set_xlim(low, high)
    decades = np.log10(high / low)
    steps = (1, 2, 5) if decades < 2 else (1, 3) if decades < 3 else (1,)
    panel.xaxis.set_major_locator(LogLocator(subs=steps, numticks=6))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
