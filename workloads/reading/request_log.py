"""Request logs of serving engines: the lengths of each request, its arrival, and its first and last token."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InvalidTrace
from ..quantities import LONGEST_TOKENS, TIME_UNITS
from ..readers.file import TraceFile
from ..readers.named_columns import (
    ARRIVAL_NAMES,
    INPUT_NAMES,
    OUTPUT_NAMES,
    columns_by_meaning,
    open_table,
    quoted_names,
)
from ..readers.raw import Flags, Floats
from ..readers.tables import Table, Wanted
from ..trace import Column, Trace, TraceSource

NAMES = {
    "input": INPUT_NAMES,
    "output": OUTPUT_NAMES,
    "arrival": ARRIVAL_NAMES,
    "first": ("first", "first_token", "first_token_time", "first_token_ts"),
    "last": ("last", "last_token", "last_token_time", "last_token_ts", "finished_time"),
    "ttft": ("ttft", "time_to_first_token"),
    "e2e": ("e2e", "e2e_latency", "latency", "request_latency"),
}
"""Meanings, each with the column names that are recognised without `--columns`, among them those of vLLM."""

_REQUIRED = ("input", "output", "arrival")
_ABSOLUTE, _RELATIVE = ("first", "last"), ("ttft", "e2e")
_LARGEST_NS = 9e18
_ONE_CLOCK_NS = 10**9 * 86_400
"""If first tokens come before their requests or a day after them, another clock took their times."""


@dataclass(frozen=True, slots=True)
class RequestLog:
    """A log's requests in order of arrival; times count from the first arrival.

    Attributes:
        trace: lengths and arrivals.
        first_ns, last_ns: (requests,), the times of each request's first and last token.
        same_clock: whether these times were taken by the clock of the arrivals. If not, they differ from it by an
            unknown constant, so the time that a request waited is unknown.
    """

    trace: Trace
    first_ns: Column
    last_ns: Column
    same_clock: bool


def read_request_log(
    path: Path, *, columns: Mapping[str, str] | None = None, unit: str = "s", max_new_tokens: int | None = None
) -> RequestLog:
    """Read a log as CSV, JSON lines or Parquet; CSV and JSON may be compressed with gzip or zstd.

    Args:
        columns: column names by meaning (a key of `NAMES`). In place of `first` and `last` a log may have `ttft` and
            `e2e`, which count from the arrival; if it has all four, `ttft` and `e2e` are used.
        unit: the unit of times, a key of `TIME_UNITS`.
        max_new_tokens: the most that each request was allowed to generate; default: the longest output of the log.

    Raises:
        InvalidTrace: the file is missing, lacks a column, or has no usable row.
    """
    if unit not in TIME_UNITS:
        raise InvalidTrace(f"the time unit is '{unit}', expected one of {', '.join(TIME_UNITS)}")
    with TraceFile(path) as file:
        table = open_table(file)
        numbers, unreadable = _numbers(table, _columns(path, table.names, dict(columns or {})))
        sha256 = file.sha256()
    rows = _Rows(numbers, TIME_UNITS[unit], unreadable)
    if not rows.keep.any():
        why = ", ".join(f"{reason} {count}" for reason, count in rows.dropped.items()) or "it has no rows"
        raise InvalidTrace(f"{path} holds no usable row: {why}")
    arrival, first, last = (rows.ns(what) for what in ("arrival", "first", "last"))
    order = np.argsort(arrival, kind="stable")
    outputs = rows.whole("output")[order]
    limit = max_new_tokens or int(outputs.max())
    if int(outputs.max()) > limit:
        raise InvalidTrace(
            f"{path} has an output of {int(outputs.max())} tokens, but max_new_tokens is {limit}: raise it"
        )
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
    """The numbers of a log, and which rows can be used. Each other row is counted under the first reason that applies.

    Attributes:
        same_clock: whether most first tokens came within a day after their requests.
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
            self._drop((values < 1) | (values > LONGEST_TOKENS), f"{what}_out_of_range")
        for what in {*numbers} - {"input", "output"}:
            self._drop(np.abs(np.where(self.keep, numbers[what], 0)) * scale > _LARGEST_NS, f"{what}_out_of_range")
        self._place()

    def _place(self) -> None:
        """Place times on one axis from the first arrival on, and drop rows whose times are impossible."""
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
        """One of the times, in nanoseconds, of every kept row."""
        times = self._times[what][self.keep]
        origin = self._times["arrival"][self.keep].min() if what == "arrival" or self.same_clock else 0.0
        placed: Column = np.rint((times - origin) * self._scale).astype(np.int64)
        return placed

    def whole(self, what: str) -> Column:
        """One of the lengths of every kept row."""
        lengths: Column = self._numbers[what][self.keep].astype(np.int64)
        return lengths


def _numbers(table: Table, columns: dict[str, str]) -> tuple[dict[str, Floats], int]:
    """The numbers of all rows by meaning, and the number of rows that have no columns."""
    pieces = list(table.cells(Wanted(tuple(dict.fromkeys(columns.values())))))
    numbers = {
        what: np.concatenate([np.empty(0), *(piece.numbers[name] for piece in pieces)])
        for what, name in columns.items()
    }
    return numbers, sum(len(piece.unreadable) for piece in pieces)


def _columns(path: Path, there: list[str], given: dict[str, str]) -> dict[str, str]:
    """The column for each meaning."""
    found = columns_by_meaning(path, there, given, NAMES)
    if {*given} & {*_ABSOLUTE} and {*given} & {*_RELATIVE}:
        raise InvalidTrace("--columns: give first and last, or ttft and e2e, not one of each pair")
    by_durations = not {*given} & {*_ABSOLUTE} and {*_RELATIVE} <= {*found}
    for what in _ABSOLUTE if by_durations else _RELATIVE:
        found.pop(what, None)
    missing = [what for what in (*_REQUIRED, *(() if by_durations else _ABSOLUTE)) if what not in found]
    if missing:
        raise InvalidTrace(
            f"{path} has no column with a known name for {', '.join(missing)}: name it, as in --columns "
            f"{missing[0]}=NAME (or ttft and e2e for first and last); its columns are {quoted_names(there)}"
        )
    return found
