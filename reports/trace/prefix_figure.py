"""The share of prompt tokens that a prefix cache would save, by how long it keeps a block."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ...workloads import PrefixBlocks, PrefixSharing, Trace
from ...workloads.trace.prefix_sharing import NEVER_NS, block_ages_ns, has_ages, hits_of, share_of
from ..figures.latency import scale_seconds
from ..page.svg import INK, line_style, page_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
TITLE = "What a prefix cache would save"
DESCRIPTION = (
    "If requests have arrival times: the share of all prompt tokens that an earlier request had too, if it used them "
    "at most this long before. And the share of requests by the share of their prompt that an earlier request had."
)
_POINTS = 80
_DOTTED: Any = (0, (1, 2))


def prefix_figure(trace: Trace, prefix: PrefixBlocks, sharing: PrefixSharing) -> "Figure":
    """A panel of the share over the age of blocks, if ages are known, and a panel of the share of each prompt."""
    from matplotlib.figure import Figure

    ages_ns = block_ages_ns(prefix, trace.arrival_ns)
    with page_style():
        panels = 2 if has_ages(trace) else 1
        figure = Figure(figsize=(4.5 * panels, 3.2), layout="constrained")
        *first, last = figure.subplots(1, panels, squeeze=False)[0]
        for panel in first:
            _draw_ages(panel, trace, prefix, ages_ns, sharing)
        _draw_prompts(last, hits_of(trace, prefix, ages_ns < NEVER_NS) / trace.prompt_tokens)
    return figure


def _draw_ages(panel: "Axes", trace: Trace, prefix: PrefixBlocks, ages_ns: Array, sharing: PrefixSharing) -> None:
    colour = line_style(0)["color"]
    ages_s = np.geomspace(1, max(float(trace.arrival_ns[-1]) / 1e9, 10.0), _POINTS)
    shares = [share_of(trace, hits_of(trace, prefix, ages_ns <= age_s * 1e9)) for age_s in ages_s]
    panel.plot(ages_s, shares, color=colour)
    marked = {float(age[:-1]): share for age, share in sharing.hit_within.items()}
    panel.plot(list(marked), list(marked.values()), linestyle="none", marker="o", markersize=4, color=colour)
    panel.axhline(sharing.hit, color=INK, linewidth=1, linestyle=_DOTTED)
    panel.set_title(f"at most {sharing.hit:.1%} of prompt tokens")
    panel.set_xlabel("time since the last use, at most (s)")
    panel.set_ylabel("share of prompt tokens")
    scale_seconds(panel)
    _scale_share(panel.yaxis)
    panel.set_ylim(bottom=0)


def _draw_prompts(panel: "Axes", shares: Array) -> None:
    points = np.linspace(0, 1, 2 * _POINTS + 1)
    panel.plot(np.quantile(shares, points, method="inverted_cdf"), points, color=line_style(0)["color"])
    panel.set_title(f"half of all prompts: {np.median(shares):.0%} or more")
    panel.set_xlabel("share of the prompt that an earlier request had")
    panel.set_ylabel("share of requests")
    panel.set_xlim(-0.02, 1.02)
    panel.set_ylim(0, 1)
    for axis in (panel.xaxis, panel.yaxis):
        _scale_share(axis)


def _scale_share(axis: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
