"""The tables of a comparison and of a sweep."""

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from ...records.sweep import Sweep
from ..terminal import print_lines, stdout

if TYPE_CHECKING:
    from ...reports import Verdict


def show_runs(judged: "Verdict") -> None:
    """The table of a comparison, and the verdict under it."""
    from ...reports import comparison_table

    compared = comparison_table(judged)
    # Two tables, so that neither is wider than a terminal of 80 columns.
    half = next(i for i, (head, _) in enumerate(compared.heads) if head == "OOMs")
    for columns in (range(1, half), range(half, len(compared.heads))):
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("policy", overflow="fold")
        for column in columns:
            table.add_column(compared.heads[column][0], justify="right", no_wrap=True)
        for row in compared.rows:
            table.add_row(escape(row[0].text), *(escape(row[column].text) for column in columns))
        stdout.print(table, "")
    print_lines(judged.sentence, style="bold")
    print_lines(*(f"- {detail}" for detail in judged.details))


def show_sweep(sweep: Sweep) -> None:
    """The capacity of each policy."""
    from ...reports.comparison.frontier import capacities, capacity_sentence, notes

    found = capacities(sweep)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for position, (head, _) in enumerate(found.heads):
        table.add_column(head, justify="right" if position else "left", overflow="fold")
    for row in found.rows:
        table.add_row(*(escape(cell.text) for cell in row))
    stdout.print(table, "")
    print_lines(capacity_sentence(sweep), style="bold")
    print_lines(*(f"- {line}" for line in notes(sweep)))
