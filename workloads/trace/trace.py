"""The one form in which requests travel: columns of integers in arrival order."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import msgspec
import numpy as np

from ...errors import InvalidTrace
from .prefix_blocks import PrefixBlocks
from .turns import Column as Column
from .turns import Turns

LONGEST_TOKENS = 2**31 - 1
"""Lengths beyond this are mistakes, and would overflow sums of bytes."""


class TraceSource(msgspec.Struct, frozen=True):
    """Where a trace came from, and what became of every row that was read.

    `rows_read == kept + sum(dropped.values())`; `repaired` rows are among the kept. `examples` has the first row of
    each reason. `transforms` is what was done to the trace since, in order.
    """

    path: str
    sha256: str
    format: str
    rows_read: int
    kept: int
    dropped: dict[str, int] = {}
    repaired: dict[str, int] = {}
    examples: dict[str, str] = {}
    transforms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Requests in arrival order.

    Attributes:
        arrival_ns: non-decreasing, from 0 on. Of a request that waits for another, the arrival of that one: it can come
            no earlier, and when it does come is the run's to find out.
        prompt_tokens: at least 1.
        output_tokens: what the run will force, 1 to `max_new_tokens`. Executors know it, policies never.
        max_new_tokens: what every request may generate at most; one number for all, not derived from the rows.
        has_times: whether the arrivals are the source's own; if not they are all 0.
        turns: which requests belong together and wait for each other; None: none do.
        prefix: which prompts begin alike; None: not known. No executor looks at it.
    """

    name: str
    arrival_ns: Column
    prompt_tokens: Column
    output_tokens: Column
    max_new_tokens: int
    has_times: bool
    source: TraceSource
    turns: Turns | None = None
    prefix: PrefixBlocks | None = None

    @classmethod
    def of_rows(cls, rows: Sequence[tuple[int, int, int]], *, max_new_tokens: int, name: str = "rows") -> Self:
        """A trace of (arrival in ns, prompt tokens, output tokens).

        Raises:
            InvalidTrace: no row, one with a length below 1 or beyond `max_new_tokens`, or arrivals out of order.
        """
        columns = np.array(rows, dtype=np.int64).reshape(-1, 3)
        arrival_ns, prompt, output = columns.T.copy()
        wrong = (prompt < 1) | (output < 1) | (output > max_new_tokens) | (np.diff(arrival_ns, prepend=0) < 0)
        if wrong.any() or not len(columns):
            what = f"row {int(wrong.argmax())}: {columns[wrong][0].tolist()}" if len(columns) else "no rows"
            raise InvalidTrace(
                f"{name}: {what}; expected (arrival_ns, prompt, output) in order of arrival, prompts of at least 1 "
                f"token and outputs of 1 to {max_new_tokens}"
            )
        source = TraceSource(
            path=name,
            sha256=hashlib.sha256(columns.astype("<i8").tobytes()).hexdigest(),
            format="rows",
            rows_read=len(columns),
            kept=len(columns),
        )
        return cls(name, arrival_ns, prompt, output, max_new_tokens, has_times=True, source=source)

    def __len__(self) -> int:
        return len(self.arrival_ns)

    def at(self, positions: Column) -> "Trace":
        """The requests at these positions alone, in this order, which has to be one of arrival."""
        return replace(
            self,
            arrival_ns=self.arrival_ns[positions],
            prompt_tokens=self.prompt_tokens[positions],
            output_tokens=self.output_tokens[positions],
            turns=self.turns and self.turns.at(positions),
            prefix=self.prefix and self.prefix.at(positions),
        )

    @property
    def is_closed_loop(self) -> bool:
        """Whether any request waits for the end of another."""
        return self.turns is not None and bool(self.turns.waits.any())

    @property
    def content_hash(self) -> str:
        """Names the requests themselves, wherever they came from."""
        digest = hashlib.sha256(str(self.max_new_tokens).encode())
        columns = [self.arrival_ns, self.prompt_tokens, self.output_tokens]
        if self.turns is not None and self.is_closed_loop:
            columns += [self.turns.after_id, self.turns.think_ns]
        for column in columns:
            digest.update(column.astype("<i8").tobytes())
        return digest.hexdigest()[:16]
