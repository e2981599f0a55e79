"""What a reader hands over: columns as they stand in the file, before anything is judged."""

from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class RawRows:
    """Rows of a file. `row` numbers them as an editor would, from 1 on; `time_ns` is None for lengths alone.

    Numbers that are none are NaN; times that cannot be read have `time_known` false.
    """

    row: Integers
    prompt: Floats
    output: Floats
    time_ns: Integers | None = None
    time_known: Flags = field(default_factory=lambda: np.empty(0, dtype=bool))
    unreadable: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CsvRows:
    """Columns of a CSV file as text, by name, and the rows with another number of fields than the header."""

    row: Integers
    text: dict[str, Any]
    unreadable: list[tuple[int, str]]

    def numbers(self, name: str) -> Floats:
        """A column as numbers, NaN where it holds none."""
        import pandas as pd

        return np.asarray(pd.to_numeric(self.text[name].str.strip(), errors="coerce"), dtype=np.float64)


def header_of(text: bytes) -> list[str]:
    """Field names of the first row."""
    return [name.strip().strip('"') for name in text.lstrip().split(b"\n", 1)[0].decode().split(",")]


def read_csv(text: bytes, names: list[str]) -> CsvRows:
    """Columns by name, whatever their position; blank rows are skipped, short and long ones kept apart."""
    import pandas as pd

    header = header_of(text)
    lines = text.split(b"\n")
    first = next(i for i, line in enumerate(lines) if line.strip())
    fields = len(header) - 1
    rows, unreadable = [], []
    for number, line in enumerate(lines[first + 1 :], first + 2):
        if not line.strip():
            continue
        if line.count(b",") == fields and b'"' not in line:
            rows.append(number)
        else:
            unreadable.append((number, line.decode().strip()))
    good = b"\n".join(lines[number - 1] for number in rows)
    table = (
        pd.read_csv(
            BytesIO(good),
            header=None,
            names=header,
            usecols=names,
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
        )
        if rows
        else pd.DataFrame({name: pd.Series([], dtype=str) for name in names})
    )
    return CsvRows(np.array(rows, dtype=np.int64), {name: table[name] for name in names}, unreadable)


def seconds_to_ns(seconds: Floats) -> tuple[Integers, Flags]:
    """Times in seconds as nanoseconds, and which of them are times."""
    known = np.isfinite(seconds) & (np.abs(seconds) < 9e9)
    return np.rint(np.where(known, seconds, 0) * 1e9).astype(np.int64), known
