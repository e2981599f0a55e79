"""What a reader hands over: columns as they stand in the file, before anything is judged."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
"""Nanoseconds in a unit of time."""

_LARGEST_NS = 9e18


@dataclass(frozen=True, slots=True)
class RawTurns:
    """Which conversation each row belongs to, where the format says so.

    Attributes:
        session: numbers conversations through the file, from 0 on; -1 for a row that is in none.
        after_row: an earlier row, whose conversation a request goes on with; 0 where there is none.
        think_ns: from the answer to that row to the request; -1 for a request that does not wait for it. One that does
            has the arrival of that row for its own.
        mended: whose pause is none that can be, below 0 or of centuries, and is taken for none.
    """

    session: Integers
    after_row: Integers
    think_ns: Integers
    mended: Flags | None = None


@dataclass(frozen=True, slots=True)
class RawBlocks:
    """The blocks that the prompts of some rows consist of, as `PrefixBlocks` has them.

    Attributes:
        block_tokens: tokens in each.
        counts: of each row; 0: not known; -1: what stands there is no list of blocks.
        ids: of all rows, end to end.
    """

    block_tokens: int
    counts: Integers
    ids: Integers


@dataclass(frozen=True, slots=True)
class RawRows:
    """Some rows of a file, in its order.

    Attributes:
        row: numbers them as an editor would, from 1 on; elements of a JSON document and requests of a session are
            counted through the file.
        prompt, output, total: tokens; NaN where there is no number. `total` is None where the format has none.
        time_ns: None in all rows of a file that has lengths alone.
        time_known: whether the time can be read.
        blocks: None where the format has none, or nobody asked for them.
        unreadable: the numbers of rows that could not be told into columns, and how they begin.
    """

    row: Integers
    prompt: Floats
    output: Floats
    time_ns: Integers | None = None
    time_known: Flags = field(default_factory=lambda: np.empty(0, dtype=bool))
    total: Floats | None = None
    turns: RawTurns | None = None
    blocks: RawBlocks | None = None
    unreadable: list[tuple[int, str]] = field(default_factory=list)


def pauses_ns(values: Floats, unit_ns: int) -> tuple[Integers, Flags]:
    """Pauses as nanoseconds, 0 where there is none, and which were given and cannot be."""
    pause_ns, known = to_ns(values, unit_ns)
    wrong = ~np.isnan(values) & (~known | (pause_ns < 0))
    return np.where(wrong, 0, pause_ns), wrong


def to_ns(values: Floats, unit_ns: int) -> tuple[Integers, Flags]:
    """Times as nanoseconds, and which of them are times; whole numbers are exact, whatever their size."""
    known = np.isfinite(values) & (np.abs(values) < _LARGEST_NS / unit_ns)
    values = np.where(known, values, 0)
    whole = np.floor(values)
    part_ns = np.rint((values - whole) * unit_ns)
    return whole.astype(np.int64) * unit_ns + part_ns.astype(np.int64), known


class SessionNumbers:
    """Gives every conversation of a file its number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, labels: list[str | None]) -> Integers:
        """The numbers of labels; -1 for those that are empty or None."""
        numbers = self._numbers
        return np.array([numbers.setdefault(label, len(numbers)) if label else -1 for label in labels], dtype=np.int64)
