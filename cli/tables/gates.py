"""What the gate can detect on this machine, and how often it is wrong."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..terminal import stdout

if TYPE_CHECKING:
    from ...reports.gate.classes.timed.certification import Certificate
    from ...reports.gate.classes.timed.decision import TimingRule


def show_detectable(found: Mapping[str, float], rule: "TimingRule") -> None:
    """The smallest slow-down that each benchmark detects on this machine, and its threshold."""
    table = Table(
        title="What this machine detects, at 1 % false alarms and 99 % power",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("benchmark", overflow="fold")
    for name in ("smallest slow-down", "threshold", "detectable"):
        table.add_column(name, justify="right")
    for name, smallest in sorted(found.items(), key=lambda item: -item[1]):
        seen = smallest <= rule.of(name)
        table.add_row(
            escape(name), f"{smallest:.1%}", f"{rule.of(name):.1%}", "yes" if seen else Text("NO", style="red")
        )
    stdout.print(table)


def show_certification(certificate: "Certificate") -> None:
    """How often the gate was wrong, in each setting."""
    table = Table(
        title=f"trials of {certificate.certification.benchmark}", title_justify="left", box=None, pad_edge=False
    )
    table.add_column("setting")
    for name in ("trials", "outcomes", "wrong", "true rate, at most (95 %)", "s a trial"):
        table.add_column(name, justify="right")
    for setting, tally in certificate.certification.tallies.items():
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in tally.outcomes.items())
        seconds = tally.seconds / tally.gates
        table.add_row(
            setting, str(tally.gates), outcomes, str(tally.wrong), f"{tally.wrong_rate_bound:.2%}", f"{seconds:.1f}"
        )
    stdout.print(table)
