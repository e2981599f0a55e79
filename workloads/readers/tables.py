"""The interface of tables: columns by name, read some rows at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...errors import InvalidTrace, quoted
from .raw import Flags, Floats, Integers


@dataclass(frozen=True, slots=True)
class Wanted:
    """Names of the columns to read: as numbers, as ISO 8601 times, as text; in JSON some undecoded."""

    numbers: tuple[str, ...]
    times: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    raw: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cells:
    """Some rows of a table. An invalid number is NaN, an invalid time is flagged as unknown, a label may be None."""

    row: Integers
    numbers: dict[str, Floats]
    times: dict[str, tuple[Integers, Flags]]
    labels: dict[str, list[str | None]]
    unreadable: list[tuple[int, str]]
    raw: dict[str, list[Any]] = field(default_factory=dict)


class Table(Protocol):
    """A file with columns."""

    names: list[str]

    def is_calendar_time(self, name: str) -> bool:
        """Whether the first row has a date, not a number, in that column."""

    def cells(self, wanted: Wanted) -> Iterator[Cells]:
        """The rows. They can be read once; all wanted names must be among `names`."""


def refuse_twice(path: Path, names: Sequence[str], wanted: Wanted) -> None:
    """Raise InvalidTrace if the file has a wanted column twice, since either one could be meant."""
    for name in (*wanted.numbers, *wanted.times, *wanted.labels):
        if names.count(name) > 1:
            raise InvalidTrace(f"{path} has {names.count(name)} columns {quoted(name)}: rename or remove all but one")


def number_of(text: str) -> float:
    """The number in a text, or NaN. What only Python accepts (`1_000`, digits of other scripts) is not a number."""
    try:
        return float(text) if text.isascii() and "_" not in text else np.nan
    except ValueError:
        return np.nan


def calendar_times(texts: list[str]) -> tuple[Integers, Flags]:
    """ISO 8601 times in nanoseconds, and which texts are times. A time without a zone is UTC."""
    import pyarrow as pa

    texts = [text.strip() for text in texts]
    for kind in (pa.timestamp("ns", "UTC"), pa.timestamp("ns")):
        try:
            return np.asarray(pa.array(texts, pa.string()).cast(kind).cast(pa.int64())), np.ones(len(texts), dtype=bool)
        except pa.ArrowInvalid:
            continue
    each = [_calendar_time(text) for text in texts]
    known = np.array([time is not None for time in each], dtype=bool)
    return np.array([time or 0 for time in each], dtype=np.int64), known


def _calendar_time(text: str) -> int | None:
    import pyarrow as pa

    if not text[:4].isdecimal():  # this rejects most other texts without the cost of two exceptions
        return None
    for kind in (pa.timestamp("ns", "UTC"), pa.timestamp("ns")):
        try:
            time: Any = pa.scalar(text).cast(kind).cast(pa.int64()).as_py()
        except pa.ArrowInvalid:
            continue
        return int(time)
    return None
