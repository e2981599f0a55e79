"""The trend class in a result: reported, and drawn from the history."""

from collections.abc import Sequence

from ....page.escaping import line
from ....page.svg import inline_svg
from ...result import Check, GateResult
from ..gate_class import ShownClass
from .series import NAME, series_of
from .trend_figure import trend_figure

_SERIES = 12
"""The largest number of series that are drawn."""


class TrendClass(ShownClass):
    """Figures of replays over months."""

    name = NAME
    blocks = False
    rule = "Figures of GPU replays over months. Change points are reported and never fail a gate."

    def figure(self, checks: Sequence[Check], history: Sequence[GateResult]) -> str:
        """One panel for each series."""
        shown = series_of(history)[:_SERIES]
        if not shown:
            return ""
        texts = [f"{line(s.title, 160)}, {line(s.metric, 80)}: {len(s.points)} points" for s in shown]
        return inline_svg("trend", trend_figure(shown), "Figures of replays over time", "; ".join(texts))
