"""How long prompts and outputs are, and how their lengths are related."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ...workloads import ModelSpec, Trace
from ..figures.latency import quantiles, scale_seconds, scale_shares
from ..page.svg import COLOURS, INK, legend_above, line_style, page_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
TITLE = "Lengths of prompts and outputs"
DESCRIPTION = (
    "Left: the share of requests whose prompt, output, or both together have at most a number of tokens, with marks at "
    "the median, 95 % and 99 %. Right: the number of requests for each pair of prompt length and output length."
)
_MARKED = (0.5, 0.95, 0.99)
_BINS = (72, 56)
_BOTH, _PALEST = 2, 0.2
_TWO_STEPS = 300  # up to this ratio of the ends of an axis, a decade has two ticks


def length_figure(trace: Trace, model: ModelSpec | None = None) -> "Figure":
    """Two panels; if a model is given, with a line at its context."""
    from matplotlib.figure import Figure

    kinds = {
        "prompt": trace.prompt_tokens,
        "output": trace.output_tokens,
        "both together": trace.prompt_tokens + trace.output_tokens,
    }
    with page_style():
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        shares, pairs = figure.subplots(1, 2, width_ratios=(1.25, 1))
        lines = [_draw(shares, tokens, position) for position, tokens in enumerate(kinds.values())]
        if model is not None:
            _draw_context(shares, model)
        shares.set_xlabel("tokens")
        shares.set_ylabel("share of requests")
        scale_tokens(shares)
        scale_shares(shares, len(trace))
        _draw_pairs(pairs, trace.prompt_tokens, trace.output_tokens)
        legend_above(figure, lines, list(kinds))
    return figure


def scale_tokens(panel: "Axes") -> None:
    """Set a logarithmic horizontal axis of whole numbers."""
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    scale_seconds(panel)
    low, high = panel.get_xlim()
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 3) if high < _TWO_STEPS * low else (1,), numticks=6))
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _draw(panel: "Axes", tokens: Array, position: int) -> Any:
    style = line_style(position)
    (line,) = panel.plot(*quantiles(tokens), **style)
    marks = [share for share in _MARKED if share < 1 - 0.5 / len(tokens)]
    panel.plot(
        np.quantile(tokens, marks, method="inverted_cdf"),
        marks,
        linestyle="none",
        marker="o",
        markersize=4,
        color=style["color"],
    )
    return line


def _draw_context(panel: "Axes", model: ModelSpec) -> None:
    panel.axvline(model.context_tokens, color=INK, linewidth=1, linestyle=(0, (1, 2)))
    panel.annotate(
        f"context of {model.name}",
        (model.context_tokens, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        fontsize=8,
    )


def _draw_pairs(panel: "Axes", prompt: Array, output: Array) -> None:
    """Draw the pairs as a raster, because a mark for each of millions of requests would make the page too large."""
    edges = [_edges(tokens, bins) for tokens, bins in zip((prompt, output), _BINS, strict=True)]
    counts = np.histogram2d(prompt, output, bins=edges)[0].T
    depth = np.log1p(counts) / np.log1p(counts.max())
    alpha = np.where(counts > 0, _PALEST + (1 - _PALEST) * depth, 0.0)
    colour = [int(COLOURS[_BOTH][place : place + 2], 16) / 255 for place in (1, 3, 5)]
    raster = np.concatenate([np.broadcast_to(colour, (*counts.shape, 3)), alpha[..., None]], axis=2)
    panel.pcolormesh(*edges, raster, rasterized=True)
    panel.set_yscale("log")
    panel.set_xlabel("prompt tokens")
    panel.set_ylabel("output tokens")
    scale_tokens(panel)
    panel.yaxis.set_major_formatter(panel.xaxis.get_major_formatter())


def _edges(tokens: Array, bins: int) -> Array:
    """The edges of bins that are equally wide on a logarithmic axis, but at least one token."""
    return np.unique(np.rint(np.geomspace(tokens.min(), tokens.max() + 1, bins + 1))) - 0.5
