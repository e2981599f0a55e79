"""When requests arrive, and how much this differs from independent arrivals."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ...workloads import TraceSummary
from ..figures.latency import quantiles, scale_seconds, scale_shares
from ..numbers import three_digits
from ..page.svg import INK, line_style, page_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
TITLE = "When requests arrive"
DESCRIPTION = (
    "Left: the rate of arrivals over time and its mean. Middle: the share of gaps between arrivals up to each length, "
    "beside that of independent arrivals with the same rate. Right: the index of dispersion of counts in windows of 1, "
    "10 and 60 s, which is 1 for independent arrivals."
)
_STEPS_S = (1, 5, 10, 60, 300, 600, 3600, 6 * 3600, 86_400)
_MOST_STEPS = 150
_UNITS = ((2 * 86_400, 86_400, "days"), (2 * 3600, 3600, "h"), (300, 60, "min"), (0, 1, "s"))
_SHORTEST = 1e-3  # of the mean gap; shorter gaps, including those of 0, are drawn here
_DOTTED: Any = (0, (1, 2))


def arrival_figure(starts_ns: Array, summary: TraceSummary) -> "Figure":
    """Three panels for requests that arrive at these times.

    Args:
        starts_ns: arrival times in ascending order, shape (arrivals,).
        summary: the summary of the trace.
    """
    from matplotlib.figure import Figure

    seconds = (starts_ns - starts_ns[0]) / 1e9
    with page_style():
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        rate, gaps, counts = figure.subplots(1, 3, width_ratios=(2, 1.5, 0.8))
        _draw_rate(rate, seconds)
        _draw_gaps(gaps, np.diff(seconds), summary.cv or 0.0)
        if summary.idc:
            _draw_dispersion(counts, summary.idc)
        else:
            counts.remove()
    return figure


def _draw_rate(panel: "Axes", seconds: Array) -> None:
    step_s = next((step for step in _STEPS_S if seconds[-1] <= step * _MOST_STEPS), seconds[-1] / _MOST_STEPS)
    unit_s, unit = next(each[1:] for each in _UNITS if seconds[-1] >= each[0])
    whole = max(int(seconds[-1] // step_s), 1)  # the last, partial step would have too few
    rates = np.bincount((seconds // step_s).astype(np.int64), minlength=whole)[:whole] / step_s
    mean = (len(seconds) - 1) / seconds[-1]
    panel.stairs(
        rates, np.arange(whole + 1) * step_s / unit_s, baseline=None, color=line_style(0)["color"], linewidth=1.2
    )
    panel.axhline(mean, color=INK, linewidth=1, linestyle=_DOTTED)
    panel.set_ylim(0, max(1.1 * rates.max(), 1.3 * mean))
    panel.set_title(f"{three_digits(mean)} /s on average, up to {three_digits(rates.max())} for {_named(step_s)}")
    panel.set_xlabel(f"time ({unit})")
    panel.set_ylabel("requests/s")


def _named(step_s: float) -> str:
    units = ((86_400, "d"), (3600, "h"), (60, "min"), (0, "s"))
    unit_s, unit = next((size or 1, name) for size, name in units if step_s >= size)
    return f"{step_s / unit_s:g} {unit}"


def _draw_gaps(panel: "Axes", gaps_s: Array, cv: float) -> None:
    mean_s = gaps_s.mean()
    shortest_s = _SHORTEST * mean_s
    times_s, shares = quantiles(gaps_s)
    panel.plot(np.maximum(times_s, shortest_s), shares, **line_style(0), label="the trace")
    panel.plot(np.maximum(-mean_s * np.log1p(-shares), shortest_s), shares, **line_style(1), label="Poisson")
    panel.set_title(f"gaps: CV {cv:.2f}, 1 for Poisson")
    panel.set_xlabel("gap (s)")
    panel.set_ylabel("share of gaps")
    scale_seconds(panel)
    scale_shares(panel, len(gaps_s))
    panel.legend(loc="upper left", fontsize=8)


def _draw_dispersion(panel: "Axes", idc: dict[str, float]) -> None:
    places = range(len(idc))
    panel.axhline(1, color=INK, linewidth=1, linestyle=_DOTTED)
    panel.plot(places, list(idc.values()), marker="o", color=line_style(0)["color"])
    panel.set_ylim(0, 1.1 * max(1.5, *idc.values()))
    panel.set_xticks(places, [f"{window[:-1]} s" for window in idc])
    panel.set_xlim(-0.3, len(idc) - 0.7)
    panel.set_title("dispersion")
    panel.set_xlabel("window")
    panel.set_ylabel("variance / mean of counts")
