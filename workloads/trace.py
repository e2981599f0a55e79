"""The one form in which requests travel: columns of integers in arrival order."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import msgspec
import numpy as np

from ..errors import InvalidTrace

Column = np.ndarray[Any, np.dtype[np.int64]]


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
        arrival_ns: non-decreasing, from 0 on.
        prompt_tokens: at least 1.
        output_tokens: what the run will force, 1 to `max_new_tokens`. Executors know it, policies never.
        max_new_tokens: what every request may generate at most; one number for all, not derived from the rows.
        has_times: whether the arrivals are the source's own; if not they are all 0.
    """

    name: str
    arrival_ns: Column
    prompt_tokens: Column
    output_tokens: Column
    max_new_tokens: int
    has_times: bool
    source: TraceSource

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

    def first(self, count: int) -> "Trace":
        """The first requests alone, so many or all that there are."""
        return replace(
            self,
            arrival_ns=self.arrival_ns[:count],
            prompt_tokens=self.prompt_tokens[:count],
            output_tokens=self.output_tokens[:count],
        )

    @property
    def content_hash(self) -> str:
        """Names the requests themselves, wherever they came from."""
        digest = hashlib.sha256(str(self.max_new_tokens).encode())
        for column in (self.arrival_ns, self.prompt_tokens, self.output_tokens):
            digest.update(column.astype("<i8").tobytes())
        return digest.hexdigest()[:16]
