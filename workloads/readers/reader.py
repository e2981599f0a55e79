"""A trace format: how its files are recognised and read."""

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
    """A trace format.

    Attributes:
        looks_like: a short description for help texts and errors.
        max_new_tokens: the default for traces of this format.
        recognises: whether a file has this format.
        read: the rows of a file.
        read_prefix: the same with the blocks of prompts; None: the format has none.
    """

    name: str
    looks_like: str
    max_new_tokens: int
    recognises: Callable[[TraceFile], bool]
    read: Callable[[TraceFile], Iterator[RawRows]]
    read_prefix: Callable[[TraceFile], Iterator[RawRows]] | None = None


def csv_reader(name: str, columns: Columns, max_new_tokens: int) -> Reader:
    """A format of CSV files that is recognised by its required columns; a file may have others too."""
    return Reader(
        name,
        looks_like=f"CSV with {','.join(columns.required)}",
        max_new_tokens=max_new_tokens,
        recognises=lambda file: has_columns(file, columns),
        read=lambda file: rows_of(CsvTable(file), columns),
    )


def json_lines_reader(name: str, columns: Columns, max_new_tokens: int) -> Reader:
    """A format of one JSON object per line that is recognised by the keys of the first line."""
    return Reader(
        name,
        looks_like=f"JSON lines with {', '.join(columns.required)}",
        max_new_tokens=max_new_tokens,
        recognises=lambda file: set(columns.required) <= keys_of_first_line(file),
        read=lambda file: rows_of(JsonTable(file), columns),
    )


def has_columns(file: TraceFile, columns: Columns) -> bool:
    """Whether the header of a CSV file has all required columns."""
    return set(columns.required) <= set(header_of(file))


def keys_of_first_line(file: TraceFile) -> set[str]:
    """Keys of the first line if it begins a JSON object, nested keys too. The line may be damaged."""
    return _keys(file.first_line)


def keys_of_first_lines(file: TraceFile) -> set[str]:
    """Keys in the first lines of a file that may be one JSON object over many lines."""
    return _keys(file.head.text[:_KEYS_WITHIN_BYTES].lstrip())


def _keys(text: bytes) -> set[str]:
    found = _KEY.findall(text, 0, _KEYS_WITHIN_BYTES) if text.startswith(b"{") else []
    return {key.decode(errors="replace") for key in found}
