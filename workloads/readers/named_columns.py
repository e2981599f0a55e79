"""Tables of which somebody has said what their columns are, or whose names say it."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from ...errors import InvalidTrace
from .csv_table import CsvTable
from .file import TraceFile
from .json_table import JsonTable, is_json
from .parquet_table import ParquetTable
from .tables import Table, beginning

_LISTED = 20

Names = Mapping[str, tuple[str, ...]]
"""By what is meant: the column names that are understood without being told."""

INPUT_NAMES = ("input", "input_tokens", "prompt_tokens", "num_prompt_tokens", "prompt_len", "input_len")
OUTPUT_NAMES = (
    "output", "output_tokens", "num_generation_tokens", "generation_tokens", "completion_tokens", "output_len",
)  # fmt: skip
ARRIVAL_NAMES = ("arrival", "arrival_time", "arrived_at", "start_time")


def open_table(file: TraceFile) -> Table:
    """A file as a table: Parquet, JSON objects or else CSV, told apart by content."""
    if file.is_parquet:
        return ParquetTable(file)
    return JsonTable(file) if is_json(file) else CsvTable(file)


def columns_given(text: str) -> dict[str, str]:
    """What `--columns` says, by meaning. Raises InvalidTrace where it says a meaning twice."""
    pairs = [pair.strip().partition("=")[::2] for pair in text.split(",")]
    meanings = [what for what, _ in pairs]
    twice = next((what for what in meanings if meanings.count(what) > 1), None)
    if twice is not None:
        raise InvalidTrace(f"--columns: '{twice}' is there twice: leave one")
    return dict(pairs)


def columns_by_meaning(path: Path, there: Iterable[str], given: Mapping[str, str], known: Names) -> dict[str, str]:
    """What is meant to the column that has it: the one that was given, or else one whose name is known.

    Raises:
        InvalidTrace: a meaning that is none, or a column that is not there.
    """
    there = list(there)
    for what, name in given.items():
        if what not in known:
            raise InvalidTrace(f"--columns: '{what}' is not one of {', '.join(known)}")
        if name not in there:
            raise InvalidTrace(f"{path} has no column '{name}' for {what}: there are {listed(there)}")
    found = dict(given)
    for what, names in known.items():
        there_of_them = [name for name in names if name in there]
        if what not in found and there_of_them:
            found[what] = there_of_them[0]
    return found


def listed(names: Iterable[str]) -> str:
    """Names in a message, of which not too many are shown."""
    names = list(names)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(beginning(name) for name in names[:_LISTED]) + more
