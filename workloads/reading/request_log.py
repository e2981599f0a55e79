"""What a serving engine wrote down of every request: lengths, and when it came, began to answer and ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InvalidTrace
from ..readers.file import TraceFile
from ..readers.named_columns import ARRIVAL_NAMES, INPUT_NAMES, OUTPUT_NAMES, columns_by_meaning, listed, open_table
from ..readers.raw import UNITS, Flags, Floats
from ..readers.tables import Table, Wanted
from ..trace.trace import Column, Trace, TraceSource

NAMES = {
    "input": INPUT_NAMES,
    "output": OUTPUT_NAMES,
    "arrival": ARRIVAL_NAMES,
    "first": ("first", "first_token", "first_token_time", "first_token_ts"),
    "last": ("last", "last_token", "last_token_time", "last_token_ts", "finished_time"),
    "ttft": ("ttft", "time_to_first_token"),
    "e2e": ("e2e", "e2e_latency", "latency", "request_latency"),
}
"""By what is meant: the column names that are understood without being told, vLLM's among them."""

_REQUIRED = ("input", "output", "arrival")
_ABSOLUTE, _RELATIVE = ("first", "last"), ("ttft", "e2e")
_LARGEST = 2**31 - 1
_LARGEST_NS = 9e18
_ONE_CLOCK_NS = 10**9 * 86_400
"""Where first tokens come a day after their requests, or before them, another clock timed them."""


@dataclass(frozen=True, slots=True)
class RequestLog:
    """A log's requests in order of arrival; times count from the first arrival.

    Attributes:
        trace: lengths and arrivals.
        first_ns, last_ns: when each request's first and last token came.
        same_clock: whether those were timed by the clock of the arrivals. If not, they are as they stand in the log but
            for a constant, and how long a request waited is not known.
    """

    trace: Trace
    first_ns: Column
    last_ns: Column
    same_clock: bool


def read_request_log(
    path: Path, *, columns: Mapping[str, str] | None = None, unit: str = "s", max_new_tokens: int | None = None
) -> RequestLog:
    """Read a log: CSV, JSON lines or Parquet, the first two plain, gzip or zstd.

    Args:
        columns: what is meant (a key of `NAMES`) to the name of the column that has it. In place of `first` and `last`
            there may be `ttft` and `e2e`, counted from the arrival; a log that has all four is read by these.
        unit: of times, a key of `UNITS`.
        max_new_tokens: what every request was allowed to generate; default: the longest output.

    Raises:
        InvalidTrace: no file, a column that is not there, or no usable row.
    """
    if unit not in UNITS:
        raise InvalidTrace(f"the time unit is '{unit}', expected one of {', '.join(UNITS)}")
    with TraceFile(path) as file:
        table = open_table(file)
        numbers, unreadable = _numbers(table, _columns(path, table.names, dict(columns or {})))
        sha256 = file.sha256()
    rows = _Rows(numbers, UNITS[unit], unreadable)
    if not rows.keep.any():
        why = ", ".join(f"{reason} {count}" for reason, count in rows.dropped.items()) or "it has no rows"
        raise InvalidTrace(f"{path} holds no usable row: {why}")
    arrival, first, last = (rows.ns(what) for what in ("arrival", "first", "last"))
    order = np.argsort(arrival, kind="stable")
    outputs = rows.whole("output")[order]
    limit = max_new_tokens or int(outputs.max())
    if int(outputs.max()) > limit:
        raise InvalidTrace(f"{path}: an output of {int(outputs.max())} tokens, max_new_tokens is {limit}: raise it")
    trace = Trace(
        name=path.name.split(".")[0],
        arrival_ns=arrival[order],
        prompt_tokens=rows.whole("input")[order],
        output_tokens=outputs,
        max_new_tokens=limit,
        has_times=True,
        source=TraceSource(
            path=path.name,
            sha256=sha256,
            format="request-log",
            rows_read=len(rows.keep) + unreadable,
            kept=len(order),
            dropped=rows.dropped,
            examples=rows.examples,
        ),
    )
    return RequestLog(trace, first[order], last[order], rows.same_clock)


class _Rows:
    """The numbers of a log, and which rows can be used; the others are counted under the first reason that each meets.

    Attributes:
        same_clock: whether most first tokens come within a day after their requests.
    """

    def __init__(self, numbers: dict[str, Floats], scale: int, unreadable: int) -> None:
        self._numbers, self._scale = numbers, scale
        self.keep = np.ones(len(numbers["input"]), dtype=bool)
        self.dropped: dict[str, int] = {"unreadable_row": unreadable} if unreadable else {}
        self.examples: dict[str, str] = {}
        for what, values in numbers.items():
            self._drop(~np.isfinite(values), f"{what}_not_a_number")
        for what in ("input", "output"):
            values = np.where(self.keep, numbers[what], 1)
            self._drop(values != np.floor(values), f"{what}_not_an_integer")
            self._drop((values < 1) | (values > _LARGEST), f"{what}_out_of_range")
        for what in {*numbers} - {"input", "output"}:
            self._drop(np.abs(np.where(self.keep, numbers[what], 0)) * scale > _LARGEST_NS, f"{what}_out_of_range")
        self._place()

    def _place(self) -> None:
        """Times in nanoseconds from the first arrival on, and what cannot be true of them."""
        kept = {what: np.where(self.keep, values, 0.0) for what, values in self._numbers.items()}
        origin = kept["arrival"][self.keep].min() if self.keep.any() else 0.0
        self._times = {"arrival": kept["arrival"] - origin}
        for absolute, relative in zip(_ABSOLUTE, _RELATIVE, strict=True):
            is_relative = relative in kept
            self._times[absolute] = self._times["arrival"] + kept[relative] if is_relative else kept[absolute] - origin
        waits = (self._times["first"] - self._times["arrival"]) * self._scale
        is_plausible = (waits >= 0) & (waits < _ONE_CLOCK_NS)
        self.same_clock = bool(self.keep.any() and np.median(is_plausible[self.keep]) > 0)
        if self.same_clock:
            self._drop(waits < 0, "first_token_before_its_request")
            self._drop(waits >= _ONE_CLOCK_NS, "first_token_a_day_after_its_request")
        self._drop(self._times["last"] < self._times["first"], "last_token_before_the_first")

    def _drop(self, bad: Flags, reason: str) -> None:
        bad = bad & self.keep
        if bad.any():
            self.dropped[reason] = int(bad.sum())
            self.examples[reason] = f"request {int(np.argmax(bad)) + 1}"
            self.keep = self.keep & ~bad

    def ns(self, what: str) -> Column:
        """A time of every row that is kept."""
        times = self._times[what][self.keep]
        origin = self._times["arrival"][self.keep].min() if what == "arrival" or self.same_clock else 0.0
        placed: Column = np.rint((times - origin) * self._scale).astype(np.int64)
        return placed

    def whole(self, what: str) -> Column:
        """A length of every row that is kept."""
        lengths: Column = self._numbers[what][self.keep].astype(np.int64)
        return lengths


def _numbers(table: Table, columns: dict[str, str]) -> tuple[dict[str, Floats], int]:
    """By what is meant: the numbers of all rows; and how many rows could not be told into columns."""
    pieces = list(table.cells(Wanted(tuple(dict.fromkeys(columns.values())))))
    numbers = {
        what: np.concatenate([np.empty(0), *(piece.numbers[name] for piece in pieces)])
        for what, name in columns.items()
    }
    return numbers, sum(len(piece.unreadable) for piece in pieces)


def _columns(path: Path, there: list[str], given: dict[str, str]) -> dict[str, str]:
    """By what is meant: the column."""
    found = columns_by_meaning(path, there, given, NAMES)
    if {*given} & {*_ABSOLUTE} and {*given} & {*_RELATIVE}:
        raise InvalidTrace("--columns: first and last, or ttft and e2e: not one of each")
    by_durations = not {*given} & {*_ABSOLUTE} and {*_RELATIVE} <= {*found}
    for what in _ABSOLUTE if by_durations else _RELATIVE:
        found.pop(what, None)
    missing = [what for what in (*_REQUIRED, *(() if by_durations else _ABSOLUTE)) if what not in found]
    if missing:
        raise InvalidTrace(
            f"{path}: no column is known to be {', '.join(missing)}: name them, as in --columns {missing[0]}=NAME (or "
            f"ttft and e2e, for first and last); there are {listed(there)}"
        )
    return found
