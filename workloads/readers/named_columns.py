"""Tables whose columns are named by the user, or have well-known names."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from ...errors import InvalidTrace, quoted
from .csv_table import CsvTable
from .file import TraceFile
from .json_table import JsonTable, is_json
from .parquet_table import ParquetTable
from .tables import Table

_MOST_SHOWN = 20

Names = Mapping[str, tuple[str, ...]]
"""Meanings, each with the column names that are recognised without `--columns`."""

INPUT_NAMES = ("input", "input_tokens", "prompt_tokens", "num_prompt_tokens", "prompt_len", "input_len")
OUTPUT_NAMES = (
    "output", "output_tokens", "num_generation_tokens", "generation_tokens", "completion_tokens", "output_len",
)  # fmt: skip
ARRIVAL_NAMES = ("arrival", "arrival_time", "arrived_at", "start_time")


def open_table(file: TraceFile) -> Table:
    """A file as a table: Parquet, JSON objects or else CSV, recognised by content."""
    if file.is_parquet:
        return ParquetTable(file)
    return JsonTable(file) if is_json(file) else CsvTable(file)


def columns_given(text: str) -> dict[str, str]:
    """The column names in the text of `--columns`, by meaning. Raises InvalidTrace where a meaning is given twice."""
    pairs = [pair.strip().partition("=")[::2] for pair in text.split(",")]
    meanings = [what for what, _ in pairs]
    twice = next((what for what in meanings if meanings.count(what) > 1), None)
    if twice is not None:
        raise InvalidTrace(f"--columns: {quoted(twice)} is given twice: leave one")
    return dict(pairs)


def columns_by_meaning(path: Path, there: Iterable[str], given: Mapping[str, str], known: Names) -> dict[str, str]:
    """The column for each meaning: the one that was given, or else the first one with a known name.

    Args:
        there: the columns of the file.
        given: column names by meaning, from the user.
        known: all meanings, with the names that are recognised.

    Raises:
        InvalidTrace: a meaning is unknown, or a given column is not in the file.
    """
    there = list(there)
    for what, name in given.items():
        if what not in known:
            raise InvalidTrace(f"--columns: {quoted(what)} is not one of {', '.join(known)}")
        if name not in there:
            raise InvalidTrace(f"{path} has no column {quoted(name)} for {what}: its columns are {quoted_names(there)}")
    found = dict(given)
    for what, names in known.items():
        there_of_them = [name for name in names if name in there]
        if what not in found and there_of_them:
            found[what] = there_of_them[0]
    return found


def quoted_names(names: Iterable[str]) -> str:
    """Column names for a message, the first 20 of them."""
    names = list(names)
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return ", ".join(quoted(name) for name in names[:_MOST_SHOWN]) + more
