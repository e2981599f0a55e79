"""What a serving engine wrote down of every request: lengths, and when it came, began to answer and ended."""

import csv
import gzip
import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ..errors import InvalidTrace
from .trace import Column, Trace, TraceSource

if TYPE_CHECKING:
    import pandas as pd

_GZIP_MAGIC = b"\x1f\x8b"

Numbers = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}

NAMES = {
    "input": ("input", "input_tokens", "prompt_tokens", "num_prompt_tokens", "prompt_len", "input_len"),
    "output": ("output", "output_tokens", "num_generation_tokens", "generation_tokens", "completion_tokens", 
               "output_len"),
    "arrival": ("arrival", "arrival_time", "arrived_at", "start_time"),
    "first": ("first", "first_token", "first_token_time", "first_token_ts"),
    "last": ("last", "last_token", "last_token_time", "last_token_ts", "finished_time"),
    "ttft": ("ttft", "time_to_first_token"),
    "e2e": ("e2e", "e2e_latency", "latency", "request_latency"),
}  # fmt: skip
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
    """Read a log: CSV, JSON lines or Parquet, plain or gzip.

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
    content = _content(path)
    table, unreadable = _table(path, content)
    found = _columns(path, [str(name) for name in table.columns], dict(columns or {}))
    rows = _Rows({what: _numbers(table[name]) for what, name in found.items()}, UNITS[unit], unreadable)
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
            sha256=hashlib.sha256(content).hexdigest(),
            format="request-log",
            rows_read=len(table) + unreadable,
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

    def __init__(self, numbers: dict[str, Numbers], scale: int, unreadable: int) -> None:
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


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(_GZIP_MAGIC) else content
    except OSError as error:
        raise InvalidTrace(f"cannot read {path}: {error.strerror or error}") from None
    except (EOFError, zlib.error):
        raise InvalidTrace(f"{path} is a damaged or truncated gzip file: fetch it again") from None


def _table(path: Path, content: bytes) -> "tuple[pd.DataFrame, int]":
    """The rows, and how many could not be told into columns."""
    import pandas as pd
    import pyarrow as pa

    kinds = [suffix for suffix in path.suffixes if suffix != ".gz"]
    kind = kinds[-1] if kinds else ""
    try:
        if kind == ".parquet":
            return pd.read_parquet(BytesIO(content)), 0
        if kind in (".jsonl", ".ndjson", ".json"):
            return pd.DataFrame.from_records(_objects(content, lines=kind != ".json")), 0
        return _csv(content.decode("utf-8-sig"))
    except (ValueError, TypeError, csv.Error, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0] or "it cannot be parsed"
        raise InvalidTrace(f"{path} is no table of requests (CSV, .jsonl or .parquet): {reason}") from None


def _csv(text: str) -> "tuple[pd.DataFrame, int]":
    import pandas as pd

    rows = [row for row in csv.reader(StringIO(text), skipinitialspace=True) if row]
    if not rows:
        raise ValueError("it is empty")
    good = [row for row in rows[1:] if len(row) == len(rows[0])]
    return pd.DataFrame(good, columns=rows[0]), len(rows) - 1 - len(good)


def _objects(content: bytes, *, lines: bool) -> list[dict[str, Any]]:
    if not lines:
        return msgspec.json.decode(content, type=list[dict[str, Any]])
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    return [decode(line) for line in content.splitlines() if line.strip()]


def _columns(path: Path, there: list[str], given: dict[str, str]) -> dict[str, str]:
    """By what is meant: the column."""
    for what, name in given.items():
        if what not in NAMES:
            raise InvalidTrace(f"--columns: '{what}' is not one of {', '.join(NAMES)}")
        if name not in there:
            raise InvalidTrace(f"{path} has no column '{name}' for {what}: there are {', '.join(there)}")
    if {*given} & {*_ABSOLUTE} and {*given} & {*_RELATIVE}:
        raise InvalidTrace("--columns: first and last, or ttft and e2e: not one of each")
    found = dict(given)
    for what, names in NAMES.items():
        known = next((name for name in names if name in there), None)
        if what not in found and known:
            found[what] = known
    by_durations = not {*given} & {*_ABSOLUTE} and {*_RELATIVE} <= {*found}
    for what in _ABSOLUTE if by_durations else _RELATIVE:
        found.pop(what, None)
    missing = [what for what in (*_REQUIRED, *(() if by_durations else _ABSOLUTE)) if what not in found]
    if missing:
        raise InvalidTrace(
            f"{path}: no column is known to be {', '.join(missing)}: name them, as in --columns {missing[0]}=NAME (or "
            f"ttft and e2e, for first and last); there are {', '.join(there)}"
        )
    return found


def _numbers(values: "pd.Series[Any]") -> Numbers:
    """NaN where there is none."""
    import pandas as pd

    return np.asarray(pd.to_numeric(values, errors="coerce"), dtype=np.float64)
