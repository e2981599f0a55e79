"""What all kinds of tables have in common: columns by name, some rows at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...errors import InvalidTrace
from .raw import Flags, Floats, Integers

_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Wanted:
    """Names of the columns to read: as numbers, as calendar times (ISO 8601), as text; of JSON, some as they stand."""

    numbers: tuple[str, ...]
    times: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    raw: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cells:
    """Some rows of a table. A number that is none is NaN, a time that is none is not known, a label may be None."""

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
        """Whether the first row has a date in that column, not a number."""

    def cells(self, wanted: Wanted) -> Iterator[Cells]:
        """The rows, once; all wanted names are among `names`."""


def beginning(text: str) -> str:
    """As much of a text from a file as is shown of it, in one line whatever is in it."""
    shown = text[: 4 * _SHOWN].strip()
    shown = shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "..."
    return "".join(character if character.isprintable() else "?" for character in shown)


def refuse_twice(path: Path, names: Sequence[str], wanted: Wanted) -> None:
    """Raises InvalidTrace where a wanted column is there twice, since nothing says which of them is meant."""
    for name in (*wanted.numbers, *wanted.times, *wanted.labels):
        if names.count(name) > 1:
            raise InvalidTrace(
                f"{path} has {names.count(name)} columns '{beginning(name)}': rename or remove all but one"
            )


def number_of(text: str) -> float:
    """NaN where the text is no number. What Python alone takes for one (`1_000`, digits of other scripts) is none."""
    try:
        return float(text) if text.isascii() and "_" not in text else np.nan
    except ValueError:
        return np.nan


def calendar_times(texts: list[str]) -> tuple[Integers, Flags]:
    """ISO 8601 times to the nanosecond, and which of them are times; those without a zone are taken as UTC."""
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

    if not text[:4].isdecimal():  # most of what is no time is told apart without the cost of two exceptions
        return None
    for kind in (pa.timestamp("ns", "UTC"), pa.timestamp("ns")):
        try:
            time: Any = pa.scalar(text).cast(kind).cast(pa.int64()).as_py()
        except pa.ArrowInvalid:
            continue
        return int(time)
    return None
