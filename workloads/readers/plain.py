"""Any table, as CSV, JSON or Parquet, whose columns have well-known names or are named by the user."""

from collections.abc import Iterator, Mapping
from functools import partial

from ...errors import InvalidTrace
from ..quantities import TIME_UNITS
from ..trace.trace import TABLE_MAX_NEW_TOKENS
from .columns import CALENDAR, Columns, rows_of
from .file import TraceFile
from .named_columns import ARRIVAL_NAMES, INPUT_NAMES, OUTPUT_NAMES, columns_by_meaning, open_table, quoted_names
from .raw import RawRows
from .reader import Reader
from .tables import Table

NAMES = {"arrival": ARRIVAL_NAMES, "prompt": INPUT_NAMES, "output": OUTPUT_NAMES}


def plain_reader(given: Mapping[str, str] | None = None, unit: str | None = None) -> Reader:
    """A reader of tables.

    Args:
        given: column names by meaning (a key of `NAMES`); other columns are recognised by their names.
        unit: the unit of arrivals, a key of `TIME_UNITS`; default: seconds, or dates where the first arrival is a date.

    Raises:
        InvalidTrace: the unit is unknown. Reading raises it where there is no column for prompts or outputs.
    """
    if unit is not None and unit not in TIME_UNITS:
        raise InvalidTrace(f"the time unit is '{unit}', expected one of {', '.join(TIME_UNITS)}")
    return Reader(
        "plain",
        looks_like=f"CSV, JSON or Parquet with {INPUT_NAMES[1]}, {OUTPUT_NAMES[1]}, for times {ARRIVAL_NAMES[1]} in s",
        max_new_tokens=TABLE_MAX_NEW_TOKENS,
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
            f"{file.path} has no column with a known name for {' and '.join(missing)}: name it, as in --columns "
            f"{missing[0]}=NAME; its columns are {quoted_names(table.names)}"
        )
    time = found.get("arrival")
    if unit is not None and time is None:
        raise InvalidTrace(
            f"{file.path} has no known column of arrivals in {unit}: name it, as in --columns arrival=NAME"
        )
    columns = Columns(found["prompt"], found["output"], time, unit or _unit_of(table, time))
    return rows_of(table, columns)


def _unit_of(table: Table, time: str | None) -> str:
    return CALENDAR if time is not None and table.is_calendar_time(time) else "s"


READER = plain_reader()
