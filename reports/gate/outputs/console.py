"""A result on the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...page.escaping import line
from ..classes.registry import by_class
from ..result import Check, GateResult, Outcome
from ..wording import gate_verdict, interval_text, signed_percent, value_texts, worst_first

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_WIDTH = 100
_FEW = 15
"""If more checks than this passed, they do not have a row each."""

_STYLES = {
    Outcome.BROKEN: "bold red",
    Outcome.REGRESSED: "bold red",
    Outcome.CHANGED: "bold yellow",
    Outcome.INCONCLUSIVE: "yellow",
    Outcome.WAIVED: "cyan",
    Outcome.REPORTED: "dim",
    Outcome.PASSED: "green",
}


def print_result(result: GateResult, console: "Console") -> None:
    """Print a table, the worst check first, then the notes and the verdict; at most 100 columns wide."""
    passed = [check for check in result.checks if check.outcome is Outcome.PASSED]
    is_few = len(passed) <= _FEW
    rows = worst_first(check for check in result.checks if is_few or check.outcome is not Outcome.PASSED)
    width = min(console.width, _WIDTH)
    lines = [f"note: {line(note, 400)}" for note in result.notes]
    if rows:
        console.print(_table(rows, width))
    if not is_few:
        groups = ", ".join(f"{len(checks):,} {name}" for name, checks in by_class(passed))
        lines.insert(0, f"passed: {groups}")
    for text in lines:
        console.print(text, markup=False, highlight=False, width=width)
    style = _STYLES[worst_first(result.checks)[0].outcome] if result.checks else "bold red"
    console.print(gate_verdict(result), style=style, markup=False, highlight=False, width=width)


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
        limit = "" if check.threshold is None else signed_percent(check.threshold)
        what = Text(f"{line(check.name, 160)}, {line(check.metric, 80)}").append(_why(check), "dim")
        table.add_row(
            Text(check.outcome, _STYLES[check.outcome]), check.kind, what, signed_percent(check.change), limit
        )
    return table


def _why(check: Check) -> str:
    """The values, the interval and the detail of a check, each on its own line."""
    base, head = value_texts(check)
    interval = f" (99 %: {interval_text(check)})" if check.interval else ""
    found = f"{base} -> {head}{interval}" if base != head or interval else ""
    return "".join(f"\n{part}" for part in (found, line(check.detail, 400)) if part)
