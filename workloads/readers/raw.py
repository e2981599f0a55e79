"""What a reader returns: the columns of a file as they are, before rows are checked."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..quantities import to_ns

Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class RawTurns:
    """The conversation of each row, where the format has them. All columns have the shape (rows,).

    Attributes:
        session: the number of the conversation, counted from 0 through the file; -1: none.
        after_row: the number of the earlier row that the request follows; 0: none.
        think_ns: the time from the answer to that row to the request; -1: it does not wait. A request that waits has
            the arrival of that row.
        mended: the rows whose pause is impossible (negative, or centuries long) and was replaced by 0.
    """

    session: Integers
    after_row: Integers
    think_ns: Integers
    mended: Flags | None = None


@dataclass(frozen=True, slots=True)
class RawBlocks:
    """The blocks of the prompts of some rows, with ids as in `PrefixBlocks`.

    Attributes:
        block_tokens: tokens in a block.
        counts: (rows,), blocks of each row; 0: unknown; -1: the row has something else than a list of blocks.
        ids: (blocks,), of all rows, end to end.
    """

    block_tokens: int
    counts: Integers
    ids: Integers


@dataclass(frozen=True, slots=True)
class RawRows:
    """Some rows of a file, in its order.

    Attributes:
        row: line numbers, counted from 1 as in an editor; elements of a JSON document and requests of a session are
            counted through the file.
        prompt, output, total: tokens; NaN where there is no number. `total` is None where the format has none.
        time_ns: None in all rows of a file that has lengths alone.
        time_known: whether the time of each row can be read.
        blocks: None where the format has none, or where they were not asked for.
        unreadable: the numbers of rows that have no columns, and the beginning of each, in quotes.
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
    """Pauses in nanoseconds, 0 where there is none, and which of them were given but are impossible."""
    pause_ns, known = to_ns(values, unit_ns)
    wrong = ~np.isnan(values) & (~known | (pause_ns < 0))
    return np.where(wrong, 0, pause_ns), wrong


class SessionNumbers:
    """Numbers the conversations of a file from 0 on."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, labels: list[str | None]) -> Integers:
        """The number of each label; -1 where the label is empty or None."""
        numbers = self._numbers
        return np.array([numbers.setdefault(label, len(numbers)) if label else -1 for label in labels], dtype=np.int64)
