"""A result as a table for the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..page.escaping import line
from .result import Check, GateResult, Kind, Outcome
from .shown import in_order, percent, spread, values, verdict

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_WIDTH = 100
_FEW = 15
"""Passed checks that are still worth a row each."""

_STYLES = {
    Outcome.BROKEN: "bold red",
    Outcome.REGRESSED: "bold red",
    Outcome.CHANGED: "bold yellow",
    Outcome.INCONCLUSIVE: "yellow",
    Outcome.WAIVED: "cyan",
    Outcome.REPORTED: "dim",
    Outcome.PASSED: "green",
}


def show(result: GateResult, console: "Console") -> None:
    """One table, the worst first, and the verdict as its last line. No wider than 100 columns."""
    passed = [check for check in result.checks if check.outcome is Outcome.PASSED]
    is_few = len(passed) <= _FEW
    rows = in_order(check for check in result.checks if is_few or check.outcome is not Outcome.PASSED)
    width = min(console.width, _WIDTH)
    lines = [f"note: {line(note, 400)}" for note in result.notes]
    if rows:
        console.print(_table(rows, width))
    if not is_few:
        by_class = ((kind, sum(check.kind is kind for check in passed)) for kind in Kind)
        lines.insert(0, f"passed: {', '.join(f'{count:,} {kind}' for kind, count in by_class if count)}")
    for text in lines:
        console.print(text, markup=False, highlight=False, width=width)
    style = _STYLES[in_order(result.checks)[0].outcome] if result.checks else "bold red"
    console.print(verdict(result), style=style, markup=False, highlight=False, width=width)


def _table(checks: Sequence[Check], width: int) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, width=width)
    table.add_column("outcome", no_wrap=True)
    table.add_column("class", no_wrap=True)
    table.add_column("benchmark", ratio=1, overflow="fold")
    table.add_column("change", justify="right", no_wrap=True)
    table.add_column("limit", justify="right", no_wrap=True)
    for check in checks:
        limit = "" if check.threshold is None else percent(check.threshold)
        what = Text(f"{line(check.name, 160)}, {line(check.metric, 80)}").append(_why(check), "dim")
        table.add_row(Text(check.outcome, _STYLES[check.outcome]), check.kind, what, percent(check.change), limit)
    return table


def _why(check: Check) -> str:
    """Lines of their own: from what to what, how sure, and what to do."""
    base, head = values(check)
    interval = f" (99 %: {spread(check)})" if check.interval else ""
    found = f"{base} -> {head}{interval}" if base != head or interval else ""
    return "".join(f"\n{part}" for part in (found, line(check.detail, 400)) if part)
