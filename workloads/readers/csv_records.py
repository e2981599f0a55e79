"""CSV line by line: finds the rows of a file whose quotes may hold commas and line breaks, and which may be damaged."""

import csv
from dataclasses import dataclass, field
from io import StringIO

from ...errors import quoted
from .file import Block

_LINES_IN_A_ROW = 100
"""A quote that stays open for more lines than this is a mistake, not a field."""


@dataclass(slots=True)
class Records:
    """Rows with as many fields as the header, and lines that belong to no row, each with its line number."""

    rows: list[int] = field(default_factory=list)
    fields: list[list[str]] = field(default_factory=list)
    unreadable: list[tuple[int, str]] = field(default_factory=list)


def fields_of(text: str) -> list[str] | None:
    """The fields of a row; None where its quotes are not balanced."""
    if '"' not in text:
        return text.removesuffix("\r").split(",")
    try:
        return next(csv.reader(StringIO(text, newline=""), skipinitialspace=True, strict=True), None)
    except csv.Error:
        return None


def records_of(block: Block, width: int, *, is_last: bool) -> tuple[Records, Block]:
    """The rows of a block without its blank lines, and the lines at its end that continue in the next block."""
    lines = block.text.decode().split("\n")
    records, at = Records(), 0
    while at < len(lines):
        line = lines[at]
        count = 1
        if line and not line.isspace():
            count = _lines_in_row(lines, at)
            if not count and not is_last and len(lines) - at < _LINES_IN_A_ROW:
                return records, Block(block.row + at, "\n".join(lines[at:]).encode())
            fields = fields_of("\n".join(lines[at : at + count])) if count else None
            if fields is not None and len(fields) == width:
                records.rows.append(block.row + at)
                records.fields.append(fields)
            else:
                records.unreadable.append((block.row + at, quoted(line)))
                count = 1
        at += count
    return records, Block(0, b"")


def _lines_in_row(lines: list[str], first: int) -> int:
    """The number of lines until quotes are balanced; 0 where they never are."""
    is_open = False
    for count, line in enumerate(lines[first : first + _LINES_IN_A_ROW], 1):
        is_open ^= line.count('"') % 2 == 1
        if not is_open:
            return count
    return 0
