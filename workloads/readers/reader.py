"""A format: how it is recognised and read."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .columns import Columns, rows_of
from .csv_table import CsvTable, header_of
from .file import TraceFile
from .json_table import JsonTable
from .raw import RawRows

_KEY = re.compile(rb'"([^"\\]{1,64})"\s*:')
_KEYS_WITHIN_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Reader:
    """A format, with the `max_new_tokens` that its traces are run with by default.

    `read_prefix` reads the same with the blocks of prompts, where the format has them.
    """

    name: str
    looks_like: str
    max_new_tokens: int
    recognises: Callable[[TraceFile], bool]
    read: Callable[[TraceFile], Iterator[RawRows]]
    read_prefix: Callable[[TraceFile], Iterator[RawRows]] | None = None


def csv_reader(name: str, columns: Columns, max_new_tokens: int) -> Reader:
    """A format of CSV files that is known by its column names; others may stand among them."""
    return Reader(
        name,
        looks_like=f"CSV with {','.join(columns.required)}",
        max_new_tokens=max_new_tokens,
        recognises=lambda file: has_columns(file, columns),
        read=lambda file: rows_of(CsvTable(file), columns),
    )


def json_lines_reader(name: str, columns: Columns, max_new_tokens: int) -> Reader:
    """A format of one JSON object a line that is known by the keys of the first."""
    return Reader(
        name,
        looks_like=f"JSON lines with {', '.join(columns.required)}",
        max_new_tokens=max_new_tokens,
        recognises=lambda file: set(columns.required) <= keys_of_first_line(file),
        read=lambda file: rows_of(JsonTable(file), columns),
    )


def has_columns(file: TraceFile, columns: Columns) -> bool:
    """Whether a CSV file's header has the columns without which it is of another format."""
    return set(columns.required) <= set(header_of(file))


def keys_of_first_line(file: TraceFile) -> set[str]:
    """Keys of the first line if that begins a JSON object, nested ones too; also where the line itself is damaged."""
    return _keys(file.first_line)


def keys_of_first_lines(file: TraceFile) -> set[str]:
    """Keys at the start of a file that may be one JSON object over many lines."""
    return _keys(file.head.text[:_KEYS_WITHIN_BYTES].lstrip())


def _keys(text: bytes) -> set[str]:
    found = _KEY.findall(text, 0, _KEYS_WITHIN_BYTES) if text.startswith(b"{") else []
    return {key.decode(errors="replace") for key in found}
