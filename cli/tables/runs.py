"""The tables of a comparison and of a sweep."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from ...records import RunInfo
from ...records.sweep import Sweep
from ..terminal import print_lines, stdout


def show_runs(infos: list[RunInfo], replicates: Sequence[Sequence[RunInfo]] = ()) -> None:
    """The table of a comparison, and the verdict under it; `replicates` as in `verdict`."""
    from ...reports import comparison, verdict

    judged = verdict(infos, replicates)
    compared = comparison(infos, judged)
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
    from ...reports.comparison.frontier import capacities, notes, sentence

    found = capacities(sweep)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for position, (head, _) in enumerate(found.heads):
        table.add_column(head, justify="right" if position else "left", overflow="fold")
    for row in found.rows:
        table.add_row(*(escape(cell.text) for cell in row))
    stdout.print(table, "")
    print_lines(sentence(sweep), style="bold")
    print_lines(*(f"- {line}" for line in notes(sweep)))
