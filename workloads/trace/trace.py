"""The form in which all requests travel: columns of integers in order of arrival."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any, Self

import msgspec
import numpy as np

from ...errors import InvalidTrace, quoted
from ..quantities import NS
from .dataframe import frame_columns, token_limit
from .prefix_blocks import PrefixBlocks
from .turns import Column as Column
from .turns import Turns

TABLE_MAX_NEW_TOKENS = 4_096
"""`max_new_tokens` of a table of no known format, unless another is given. It is never derived from the outputs."""

OUTPUT_CLIPPED = "output_clipped_to_max_new_tokens"
"""The reason under which a source counts outputs that were longer than `max_new_tokens`."""


class TraceSource(msgspec.Struct, frozen=True):
    """Where a trace came from, and what became of every row that was read.

    `rows_read == kept + sum(dropped.values())`; `repaired` counts rows that were kept. `examples` has the first row of
    each reason. `transforms` says in order what was done to the trace since.
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
    """Requests in order of arrival. All columns have the shape (requests,).

    Attributes:
        arrival_ns: non-decreasing, 0 or more. A request that waits for another one has the arrival of that one here:
            it cannot arrive earlier, and the run finds out when it does.
        prompt_tokens: at least 1.
        output_tokens: what the run generates, 1 to `max_new_tokens`. Executors know it, policies never do.
        max_new_tokens: the most that any request may generate: one number for all, not derived from the rows.
        has_times: whether the arrivals are those of the source; if not, they are all 0.
        turns: which requests belong together and wait for each other; None: no request does.
        prefix: which prompts share their beginnings; None: unknown. No executor uses it.
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
        """A trace of rows (arrival in ns, prompt tokens, output tokens), all whole numbers.

        Raises:
            InvalidTrace: there is no row, a row has something else than three whole numbers, a length is below 1 or
                beyond `max_new_tokens`, arrivals are not in order, or `max_new_tokens` is out of range.
        """
        max_new_tokens = token_limit(max_new_tokens)
        columns = _whole_rows(rows, name)
        arrival_ns, prompt, output = columns.T.copy()
        wrong = (prompt < 1) | (output < 1) | (output > max_new_tokens) | (np.diff(arrival_ns, prepend=0) < 0)
        if wrong.any() or not len(columns):
            what = f"row {int(wrong.argmax())}: {columns[wrong][0].tolist()}" if len(columns) else "no rows"
            raise InvalidTrace(
                f"{name}: {what}; expected (arrival_ns, prompt, output) in order of arrival, prompts of at least 1 "
                f"token and outputs of 1 to {max_new_tokens}"
            )
        source = _source_of(columns, name, "rows")
        return cls(name, arrival_ns, prompt, output, max_new_tokens, has_times=True, source=source)

    @classmethod
    def from_dataframe(
        cls,
        df: Any,
        *,
        arrival: str | None,
        prompt: str,
        output: str,
        unit: str | None = None,
        max_new_tokens: int | None = None,
        name: str = "dataframe",
    ) -> Self:
        """A trace of a data frame's columns; rows are sorted by arrival, and the first request arrives at 0.

        Args:
            df: a pandas or polars frame, a pyarrow table, or a mapping of column names to arrays.
            arrival: the column of arrival times; None: the trace has lengths alone.
            prompt: the column of prompt tokens.
            output: the column of output tokens.
            unit: of numeric arrivals: s, ms, us or ns. Leave it out where the column holds dates or durations.
            max_new_tokens: the most that any request may generate: one number from 1 to 2**31 - 1. Longer outputs are
                clipped to it, as a server would, and counted in the source. Default: 4,096, and the source says that it
                is the default.

        Raises:
            InvalidTrace: a column is missing, there are no rows, numeric arrivals have no unit, a row has no valid
                arrival or length, or `max_new_tokens` is out of range. The message names the row, counted from 0, and
                the column.
        """
        limit = TABLE_MAX_NEW_TOKENS if max_new_tokens is None else token_limit(max_new_tokens)
        columns = frame_columns(df, arrival=arrival, prompt=prompt, output=output, unit=unit)
        longer = np.flatnonzero(columns.output_tokens > limit)
        source = msgspec.structs.replace(
            _source_of(np.stack(columns, axis=1), name, "dataframe"),
            repaired={OUTPUT_CLIPPED: len(longer)} if len(longer) else {},
            examples={OUTPUT_CLIPPED: f"request {longer[0]}: longer than {limit} tokens"} if len(longer) else {},
            transforms=(f"max_new_tokens {limit} by default",) if max_new_tokens is None else (),
        )
        return cls(
            name,
            columns.arrival_ns,
            columns.prompt_tokens,
            np.minimum(columns.output_tokens, limit),
            limit,
            has_times=arrival is not None,
            source=source,
        )

    def __len__(self) -> int:
        return len(self.arrival_ns)

    def __repr__(self) -> str:
        span = f" over {int(self.arrival_ns[-1]) / NS:,.4g} s" if self.has_times and len(self) else ""
        return (
            f"<Trace {quoted(self.name)}: {len(self):,} requests{span}, {int(self.prompt_tokens.sum()):,} prompt and "
            f"{int(self.output_tokens.sum()):,} output tokens, max_new_tokens {self.max_new_tokens:,}>"
        )

    def _repr_html_(self) -> str:
        span = f"{int(self.arrival_ns[-1]) / NS:,.4g} s" if self.has_times and len(self) else "no arrival times"
        facts = {
            "requests": f"{len(self):,}",
            "arrivals over": span,
            "prompt tokens": f"{int(self.prompt_tokens.sum()):,}",
            "output tokens": f"{int(self.output_tokens.sum()):,}",
            "max_new_tokens": f"{self.max_new_tokens:,}",
        }
        rows = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in facts.items())
        return f"<table><caption>{escape(self.name)}</caption>{rows}</table>"

    def at(self, positions: Column) -> "Trace":
        """The requests at these positions, in this order, which must be one of arrival."""
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
        """Identifies the requests themselves, wherever they came from."""
        digest = hashlib.sha256(str(self.max_new_tokens).encode())
        columns = [self.arrival_ns, self.prompt_tokens, self.output_tokens]
        if self.turns is not None and self.is_closed_loop:
            columns += [self.turns.after_id, self.turns.think_ns]
        for column in columns:
            digest.update(column.astype("<i8").tobytes())
        return digest.hexdigest()[:16]


def _source_of(rows: Column, name: str, form: str) -> TraceSource:
    """The source of rows that came from Python, not from a file; their hash stands for that of a file."""
    digest = hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()
    return TraceSource(path=name, sha256=digest, format=form, rows_read=len(rows), kept=len(rows))


def _whole_rows(rows: Any, name: str) -> Column:
    """The rows as integers, (rows, 3). Raises InvalidTrace where a value is none, as seconds in floats are."""
    if hasattr(rows, "columns"):
        raise InvalidTrace(f"{name}: a data frame has no rows of nanoseconds: give it to Trace.from_dataframe")
    if not len(rows):
        return np.empty((0, 3), dtype=np.int64)
    try:
        found = np.asarray(rows)
    except ValueError:
        found = np.empty(0)
    if found.ndim != 2 or found.shape[1] != 3:
        raise InvalidTrace(f"{name}: expected rows of three whole numbers, (arrival_ns, prompt, output)")
    if found.dtype.kind not in "iu" or (found.dtype.kind == "u" and found.max() > np.iinfo(np.int64).max):
        _refuse_other_numbers(rows, name)
    return found.astype(np.int64)


def _refuse_other_numbers(rows: Any, name: str) -> None:
    """Raise InvalidTrace for the first value that is no integer of 64 bits."""
    for row, values in enumerate(rows):
        for what, value in zip(("arrival", "prompt", "output"), values, strict=True):
            is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_)
            if is_whole and -(2**63) <= int(value) < 2**63:
                continue
            unit = "nanoseconds" if what == "arrival" else "tokens"
            advice = ": give seconds to Trace.from_dataframe(..., unit='s')" if what == "arrival" else ""
            raise InvalidTrace(f"{name}: row {row}: {what} {value} is not a whole number of {unit}{advice}")
