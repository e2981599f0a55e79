"""Which columns of a table hold what a trace needs, and rows made of them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from .raw import UNITS, Flags, Integers, RawRows, RawTurns, SessionNumbers, to_ns
from .tables import Cells, Table, Wanted

CALENDAR = "calendar"
"""In place of a unit: times are dates, as ISO 8601 writes them."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of columns. `unit` is that of the times: one of `UNITS`, or `CALENDAR`."""

    prompt: str
    output: str
    time: str | None = None
    unit: str = "s"
    total: str | None = None
    session: str | None = None

    @property
    def required(self) -> list[str]:
        """The names without which a file is of another format."""
        return [name for name in (self.time, self.prompt, self.output) if name is not None]

    def there(self, names: list[str]) -> "Columns":
        """Without the columns that a file may lack, and that this one does."""
        return replace(
            self,
            total=self.total if self.total in names else None,
            session=self.session if self.session in names else None,
        )


def rows_of(table: Table, columns: Columns) -> Iterator[RawRows]:
    """The rows of a table that has at least the required columns."""
    columns = columns.there(table.names)
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
    return to_ns(cells.numbers[columns.time], UNITS[columns.unit])


def _turns(cells: Cells, session: str, sessions: SessionNumbers) -> RawTurns:
    count = len(cells.row)
    return RawTurns(
        session=sessions.of(cells.labels[session]),
        after_row=np.zeros(count, dtype=np.int64),
        think_ns=np.full(count, -1, dtype=np.int64),
    )
