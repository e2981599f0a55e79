"""A forest plot: the changes of timed checks with their intervals and limits, one row a check."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ....page.escaping import line
from ....page.svg import COLOURS, INK, page_style
from ...result import Check, Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BAD = (Outcome.BROKEN, Outcome.REGRESSED, Outcome.CHANGED)
_FURTHEST = 1e6
_GREEN, _RED, _ORANGE = COLOURS[2], COLOURS[1], COLOURS[4]


def is_drawn(check: Check) -> bool:
    """Whether a check has all numbers of its row."""
    numbers = (check.change, *(check.interval or (None,)), 0.0 if check.threshold is None else check.threshold)
    return all(number is not None and math.isfinite(number) for number in numbers)


def forest_figure(checks: Sequence[Check]) -> "Figure":
    """The plot, from the top down in the order of `checks`.

    Args:
        checks: at least one; `is_drawn` holds for each.

    Names stand above their rows and not beside them, so that the plot also fits a narrow page.
    """
    import matplotlib
    from matplotlib.figure import Figure

    # Without this, matplotlib reads a dollar sign in a name as the start of a formula.
    with page_style(), matplotlib.rc_context({"text.parse_math": False}):
        figure = Figure(figsize=(4.3, 0.7 + 0.42 * len(checks)), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color=INK, linewidth=0.8)
        for row, check in enumerate(checks):
            _draw(axes, row, check)
        axes.set_yticks([])
        axes.set_ylim(len(checks) - 0.4, -0.75)
        axes.margins(x=0.04)
        axes.spines[["left", "right", "top"]].set_visible(False)
        axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:+.3g} %" if share else "0 %")
        axes.set_xlabel("change: point and 99 % interval; vertical stroke: the limit")
    return figure


def _draw(axes: Any, row: int, check: Check) -> None:
    assert check.interval is not None
    assert check.change is not None
    is_bad = check.outcome in _BAD
    colour = _RED if is_bad else _GREEN if check.outcome is Outcome.PASSED else _ORANGE
    axes.plot(check.interval, (row, row), color=colour, linewidth=2.4, solid_capstyle="butt")
    # matplotlib cannot draw an axis up to the largest floats.
    change = min(max(check.change, -_FURTHEST), _FURTHEST)
    axes.plot([change], [row], color=colour, marker="D" if is_bad else "o", markersize=6)
    if check.threshold is not None:
        axes.plot([check.threshold] * 2, (row - 0.22, row + 0.22), color=INK, linewidth=1.6)
    # The folder of a pytest name is left out: the names differ at their ends.
    file, colons, case = check.name.partition("::")
    name = f"{file.rpartition('/')[2]}{colons}{case}" if colons else check.name
    label = f"{line(name, 48)}: {check.outcome}"
    axes.text(0.0, row - 0.28, label, transform=axes.get_yaxis_transform(), color=INK, fontsize=8, va="bottom")
