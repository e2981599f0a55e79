"""The length of conversations, and the think time of their users."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ...workloads import Turns
from ...workloads.trace.summary import turns_of_conversations
from ..figures.latency import quantiles, scale_seconds, scale_shares
from ..numbers import seconds
from ..page.svg import line_style, page_style
from .length_figure import scale_tokens

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
TITLE = "Conversations"
DESCRIPTION = (
    "The share of conversations with at most a number of turns. If requests wait for the answer to the request before, "
    "also the share of them that arrive within a time after it."
)
_SHORTEST_S = 1e-3


def turns_figure(turns: Turns) -> "Figure":
    """A panel of turns if there are conversations, and a panel of think times if requests wait."""
    from matplotlib.figure import Figure

    counts, think_s = turns_of_conversations(turns), turns.think_ns[turns.waits] / 1e9
    shown = [(draw, values) for draw, values in ((_draw_turns, counts), (_draw_think, think_s)) if len(values)]
    with page_style():
        figure = Figure(figsize=(4.5 * len(shown), 3.2), layout="constrained")
        for panel, (draw, values) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
            draw(panel, values)
    return figure


def _draw_turns(panel: "Axes", counts: Array) -> None:
    panel.plot(*quantiles(counts), color=line_style(0)["color"])
    panel.set_title(f"{len(counts):,} conversations of {counts.mean():.3g} turns on average")
    panel.set_xlabel("turns")
    panel.set_ylabel("share of conversations")
    scale_tokens(panel)
    scale_shares(panel, len(counts))


def _draw_think(panel: "Axes", think_s: Array) -> None:
    times_s, shares = quantiles(think_s)
    panel.plot(np.maximum(times_s, _SHORTEST_S), shares, color=line_style(1)["color"])
    panel.set_title(f"think time: half within {seconds(float(np.median(think_s)))}")
    panel.set_xlabel("from an answer to the next request (s)")
    panel.set_ylabel("share of waiting requests")
    scale_seconds(panel)
    scale_shares(panel, len(think_s))
