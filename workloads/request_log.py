"""What a serving engine wrote down of every request: lengths, and when it came, began to answer and ended."""

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ..errors import InvalidTrace
from .trace import Column, Trace, TraceSource

if TYPE_CHECKING:
    import pandas as pd

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
_EITHER = (("first", "ttft"), ("last", "e2e"))
_LARGEST = 2**31 - 1
_ONE_CLOCK_NS = 10**9 * 86_400
"""A first token that comes a day after its request, or before it, was timed by another clock."""


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
            there may be `ttft` and `e2e`, counted from the arrival.
        unit: of times, a key of `UNITS`.
        max_new_tokens: what every request was allowed to generate; default: the longest output.

    Raises:
        InvalidTrace: no file, a column that is not there, or no usable row.
    """
    if unit not in UNITS:
        raise InvalidTrace(f"the time unit is '{unit}', expected one of {', '.join(UNITS)}")
    table = _table(path)
    found = _columns(path, [str(name) for name in table.columns], dict(columns or {}))
    numbers = {what: _numbers(table[name]) for what, name in found.items()}
    keep, dropped, examples = _usable(numbers)
    if not keep.any():
        why = ", ".join(f"{reason} {count}" for reason, count in dropped.items()) or "it has no rows"
        raise InvalidTrace(f"{path} holds no usable row: {why}")
    scale = UNITS[unit]
    origin = numbers["arrival"][keep].min()
    arrival = _ns(numbers["arrival"][keep] - origin, scale)
    order = np.argsort(arrival, kind="stable")
    arrival = arrival[order]
    if "ttft" in numbers:
        first = arrival + _ns(numbers["ttft"][keep], scale)[order]
    else:
        first = _ns(numbers["first"][keep] - origin, scale)[order]
    if "e2e" in numbers:
        last = arrival + _ns(numbers["e2e"][keep], scale)[order]
    else:
        last = _ns(numbers["last"][keep] - origin, scale)[order]
    waits = first - arrival
    outputs = numbers["output"][keep].astype(np.int64)[order]
    limit = max_new_tokens or int(outputs.max())
    if int(outputs.max()) > limit:
        raise InvalidTrace(f"{path}: an output of {int(outputs.max())} tokens, max_new_tokens is {limit}: raise it")
    trace = Trace(
        name=path.name.split(".")[0],
        arrival_ns=arrival,
        prompt_tokens=numbers["input"][keep].astype(np.int64)[order],
        output_tokens=outputs,
        max_new_tokens=limit,
        has_times=True,
        source=TraceSource(
            path=path.name,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            format="request-log",
            rows_read=len(table),
            kept=int(keep.sum()),
            dropped=dropped,
            examples=examples,
        ),
    )
    return RequestLog(trace, first, last, bool(waits.min() > 0 and waits.max() < _ONE_CLOCK_NS))


def _table(path: Path) -> "pd.DataFrame":
    import pandas as pd
    import pyarrow as pa

    kinds = [suffix for suffix in path.suffixes if suffix != ".gz"]
    kind = kinds[-1] if kinds else ""
    try:
        if kind == ".parquet":
            return pd.read_parquet(path)
        if kind in (".jsonl", ".ndjson", ".json"):
            content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            return pd.DataFrame.from_records(_objects(content, lines=kind != ".json"))
        return pd.read_csv(path, skipinitialspace=True)
    except OSError as error:
        raise InvalidTrace(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, TypeError, EOFError, zlib.error, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0] or "it cannot be parsed"
        raise InvalidTrace(f"{path} is no table of requests (CSV, .jsonl or .parquet): {reason}") from None


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
    found = dict(given)
    for what, names in NAMES.items():
        known = next((name for name in names if name in there), None)
        if what not in found and known:
            found[what] = known
    for absolute, relative in _EITHER:
        if absolute in found and relative in found:
            del found[absolute if relative in given and absolute not in given else relative]
    missing = [what for what in _REQUIRED if what not in found]
    missing += [f"{absolute} (or {relative})" for absolute, relative in _EITHER if not {absolute, relative} & {*found}]
    if missing:
        raise InvalidTrace(
            f"{path}: no column is known to be {', '.join(missing)}: name them, as in --columns "
            f"{missing[0].split()[0]}=NAME; there are {', '.join(there)}"
        )
    return found


def _numbers(values: "pd.Series[Any]") -> Numbers:
    """NaN where there is none."""
    import pandas as pd

    return np.asarray(pd.to_numeric(values, errors="coerce"), dtype=np.float64)


def _usable(numbers: dict[str, Numbers]) -> tuple[Flags, dict[str, int], dict[str, str]]:
    """Which rows can be used; the others are counted under the first reason that each meets."""
    count = len(numbers["input"])
    keep = np.ones(count, dtype=bool)
    dropped: dict[str, int] = {}
    examples: dict[str, str] = {}

    def drop(bad: Flags, reason: str) -> None:
        bad = bad & keep
        if bad.any():
            dropped[reason] = int(bad.sum())
            examples[reason] = f"request {int(np.argmax(bad)) + 1}"
            keep[bad] = False

    for what, values in numbers.items():
        drop(~np.isfinite(values), f"{what}_not_a_number")
    for what in ("input", "output"):
        values = np.where(keep, numbers[what], 1)
        drop(values != np.floor(values), f"{what}_not_an_integer")
        drop((values < 1) | (values > _LARGEST), f"{what}_out_of_range")
    if "first" in numbers and "last" in numbers:
        drop(numbers["last"] < numbers["first"], "last_token_before_the_first")
    if "ttft" in numbers:
        drop(numbers["ttft"] <= 0, "ttft_not_positive")
        if "e2e" in numbers:
            drop(numbers["e2e"] < numbers["ttft"], "last_token_before_the_first")
    return keep, dropped, examples


def _ns(values: Numbers, scale: int) -> Column:
    return np.rint(values * scale).astype(np.int64)
