"""Which columns of a table hold what a trace needs, and the rows that they make."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..quantities import TIME_UNITS, to_ns
from .raw import Flags, Integers, RawRows, RawTurns, SessionNumbers
from .tables import Cells, Table, Wanted

CALENDAR = "calendar"
"""In place of a unit: times are ISO 8601 dates."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of columns; `unit` is the unit of times, one of `TIME_UNITS` or `CALENDAR`."""

    prompt: str
    output: str
    time: str | None = None
    unit: str = "s"
    total: str | None = None
    session: str | None = None

    @property
    def required(self) -> list[str]:
        """The columns that every file of the format has."""
        return [name for name in (self.time, self.prompt, self.output) if name is not None]

    def present(self, names: list[str]) -> "Columns":
        """The same, without the optional columns that a file with these names does not have."""
        return replace(
            self,
            total=self.total if self.total in names else None,
            session=self.session if self.session in names else None,
        )


def rows_of(table: Table, columns: Columns) -> Iterator[RawRows]:
    """The rows of a table that has at least the required columns."""
    columns = columns.present(table.names)
    by_calendar = columns.unit == CALENDAR
    numbers = (columns.prompt, columns.output, columns.total, None if by_calendar else columns.time)
    wanted = Wanted(
        numbers=tuple(dict.fromkeys(name for name in numbers if name is not None)),
        times=(columns.time,) if columns.time is not None and by_calendar else (),
        labels=(columns.session,) if columns.session is not None else (),
    )
    sessions = SessionNumbers()
    for cells in table.cells(wanted):
        yield _rows(cells, columns, sessions)


def _rows(cells: Cells, columns: Columns, sessions: SessionNumbers) -> RawRows:
    time_ns, known = _times(cells, columns)
    return RawRows(
        row=cells.row,
        prompt=cells.numbers[columns.prompt],
        output=cells.numbers[columns.output],
        time_ns=time_ns,
        time_known=known,
        total=cells.numbers[columns.total] if columns.total is not None else None,
        turns=_turns(cells, columns.session, sessions) if columns.session is not None else None,
        unreadable=cells.unreadable,
    )


def _times(cells: Cells, columns: Columns) -> tuple[Integers | None, Flags]:
    if columns.time is None:
        return None, np.empty(0, dtype=bool)
    if columns.unit == CALENDAR:
        return cells.times[columns.time]
    return to_ns(cells.numbers[columns.time], TIME_UNITS[columns.unit])


def _turns(cells: Cells, session: str, sessions: SessionNumbers) -> RawTurns:
    count = len(cells.row)
    return RawTurns(
        session=sessions.of(cells.labels[session]),
        after_row=np.zeros(count, dtype=np.int64),
        think_ns=np.full(count, -1, dtype=np.int64),
    )
