"""Load against latency: how long requests wait at each throughput, and at which rate a policy breaks the SLO."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...records.sweep import PolicySweep, RatePoint, Sweep
from ..page.svg import INK, legend_above, line_style, page_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Latency against throughput, and SLO attainment against the rate of requests"
DESCRIPTION = (
    "For each policy, at every measured rate: throughput and a high percentile of the time to first token, and the "
    "share of all requests that kept the SLO. Rings mark the capacity, dotted lines the SLO and the required share."
)
_SHORTEST_S = 1e-3
_P90_UP_TO = 0.95  # for a larger required share, the 99th percentile is closer to what decides
_FEW = 20  # rates per policy up to which each rate is marked with a point
_SMOOTH = 120
_DOTTED: Any = (0, (1, 2))


def frontier_figure(sweep: Sweep, known: Sequence[str] = (), winner: str | None = None) -> "Figure":
    """Two panels with one line per policy: TTFT over throughput, and attainment over the rate.

    Args:
        known: the policies of the other figures, in order and with repetitions; they keep their look here.
        winner: the policy with the thickest line.
    """
    from matplotlib.figure import Figure

    with page_style():
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        latency, attainment = figure.subplots(1, 2)
        looks = [*known, *(each.label for each in sweep.policies if each.label not in known)]
        styles = [line_style(looks.index(each.label), wins=each.label == winner) for each in sweep.policies]
        lines = [
            _draw(latency, attainment, sweep, each, style) for each, style in zip(sweep.policies, styles, strict=True)
        ]
        _name_latency(latency, sweep)
        _name_attainment(attainment, sweep)
        legend_above(figure, lines, [each.label for each in sweep.policies])
    return figure


def _draw(latency: "Axes", attainment: "Axes", sweep: Sweep, policy: PolicySweep, look: dict[str, Any]) -> Any:
    """Draw one policy in both panels. Returns its line in the first."""
    marker = "o" if len(policy.points) <= _FEW else ""
    style = {**look, "marker": marker, "markersize": 2 + look["linewidth"]}
    points = _thinned(policy.points)
    rates = [point.rate for point in points]
    (line,) = latency.plot([p.summary.total_tok_s for p in points], [_ttft_s(p, sweep) for p in points], **style)
    attainment.plot(rates, [p.attainment for p in points], **style)
    least, most = [min(p.by_seed) for p in points], [max(p.by_seed) for p in points]
    if len(points) <= _FEW:
        attainment.vlines(rates, least, most, color=style["color"], linewidth=0.8)
    else:
        attainment.fill_between(rates, least, most, color=style["color"], alpha=0.2, linewidth=0)
    at = policy.at_capacity
    if at is not None:
        ring: dict[str, Any] = {"marker": "o", "markersize": 9, "fillstyle": "none", "color": style["color"]}
        latency.plot([at.summary.total_tok_s], [_ttft_s(at, sweep)], **ring)
        attainment.plot([at.rate], [at.attainment], **ring)
    return line


def _thinned(points: list[RatePoint]) -> list[RatePoint]:
    """Enough points for a smooth line, evenly chosen, with both ends."""
    if len(points) <= _SMOOTH:
        return points
    return [points[round(i * (len(points) - 1) / (_SMOOTH - 1))] for i in range(_SMOOTH)]


def _ttft_s(point: RatePoint, sweep: Sweep) -> float:
    value: float | None = getattr(point.summary.ttft_s, _percentile(sweep))
    return float("nan") if value is None else max(value, _SHORTEST_S)


def _percentile(sweep: Sweep) -> str:
    return "p90" if sweep.attainment <= _P90_UP_TO else "p99"


def _name_latency(panel: "Axes", sweep: Sweep) -> None:
    from matplotlib.ticker import FuncFormatter

    slo_s = sweep.scenario.slo_ttft_s
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.axhline(slo_s, color=INK, linewidth=1, linestyle=_DOTTED)
    _label(panel, slo_s, f"SLO {slo_s:g} s")
    panel.set_xlabel("throughput (tokens/s)")
    panel.set_ylabel(f"TTFT, {_percentile(sweep)} (s)")


def _name_attainment(panel: "Axes", sweep: Sweep) -> None:
    from matplotlib.ticker import PercentFormatter

    panel.axhline(sweep.attainment, color=INK, linewidth=1, linestyle=_DOTTED)
    _label(panel, sweep.attainment, f"{100 * sweep.attainment:g} %")
    panel.set_ylim(-0.02, 1.04)
    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    panel.set_xlabel("rate (requests/s)")
    panel.set_ylabel("requests that kept the SLO")


def _label(panel: "Axes", height: float, text: str) -> None:
    """Write a text outside the panel, at the right end of a horizontal line."""
    panel.annotate(
        text,
        (1, height),
        xycoords=("axes fraction", "data"),
        xytext=(3, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
    )
