"""Any table, CSV, JSON or Parquet, whose columns are named in ways that are known or that the user says."""

from collections.abc import Iterator, Mapping
from functools import partial

from ...errors import InvalidTrace
from .columns import CALENDAR, Columns, rows_of
from .file import TraceFile
from .named_columns import ARRIVAL_NAMES, INPUT_NAMES, OUTPUT_NAMES, columns_by_meaning, listed, open_table
from .raw import UNITS, RawRows
from .reader import Reader
from .tables import Table

NAMES = {"arrival": ARRIVAL_NAMES, "prompt": INPUT_NAMES, "output": OUTPUT_NAMES}


def plain_reader(given: Mapping[str, str] | None = None, unit: str | None = None) -> Reader:
    """A reader of tables.

    Args:
        given: what is meant (a key of `NAMES`) to the name of the column that has it; others are known by their names.
        unit: of the arrivals, a key of `UNITS`; default: seconds, or dates where the first one is a date.

    Raises:
        InvalidTrace: there is no such unit; when reading, no column for prompts or outputs.
    """
    if unit is not None and unit not in UNITS:
        raise InvalidTrace(f"the time unit is '{unit}', expected one of {', '.join(UNITS)}")
    return Reader(
        "plain",
        looks_like=f"CSV, JSON or Parquet with {INPUT_NAMES[1]}, {OUTPUT_NAMES[1]}, for times {ARRIVAL_NAMES[1]} in s",
        max_new_tokens=4_096,
        recognises=_recognises,
        read=partial(_read, given=dict(given or {}), unit=unit),
    )


def _recognises(file: TraceFile) -> bool:
    return {"prompt", "output"} <= {*columns_by_meaning(file.path, open_table(file).names, {}, NAMES)}


def _read(file: TraceFile, *, given: dict[str, str], unit: str | None) -> Iterator[RawRows]:
    table = open_table(file)
    found = columns_by_meaning(file.path, table.names, given, NAMES)
    missing = [what for what in ("prompt", "output") if what not in found]
    if missing:
        raise InvalidTrace(
            f"{file.path}: no column is known to be {' and '.join(missing)}: name them, as in --columns "
            f"{missing[0]}=NAME; there are {listed(table.names)}"
        )
    time = found.get("arrival")
    if unit is not None and time is None:
        raise InvalidTrace(
            f"{file.path} has no column of arrivals to be in {unit}: name it, as in --columns arrival=NAME"
        )
    columns = Columns(found["prompt"], found["output"], time, unit or _unit_of(table, time))
    return rows_of(table, columns)


def _unit_of(table: Table, time: str | None) -> str:
    return CALENDAR if time is not None and table.is_calendar_time(time) else "s"


READER = plain_reader()
