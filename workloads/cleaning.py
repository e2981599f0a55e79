"""Decides for every row whether it can be used, under a named reason, in one place for all formats."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InvalidTrace
from .readers.raw import Flags, Floats, RawRows
from .trace import Column

_LARGEST = 2**31 - 1
"""Lengths beyond this are mistakes, and would overflow sums of bytes."""
_PLAUSIBLE_RATE = (1e-4, 1e5)


@dataclass(slots=True)
class Cleaned:
    """Columns of a trace, and what was done to get them."""

    arrival_ns: Column
    prompt_tokens: Column
    output_tokens: Column
    has_times: bool
    rows_read: int
    dropped: dict[str, int] = field(default_factory=dict)
    repaired: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)


def clean(path: Path, raw: RawRows, max_new_tokens: int) -> Cleaned:
    """Drop what cannot be used, put the rest in order of arrival and clip outputs to `max_new_tokens`.

    Raises:
        InvalidTrace: no row is left, or the times imply a rate that no service has.
    """
    cleaned = Cleaned(
        arrival_ns=np.empty(0, dtype=np.int64),
        prompt_tokens=np.empty(0, dtype=np.int64),
        output_tokens=np.empty(0, dtype=np.int64),
        has_times=raw.time_ns is not None,
        rows_read=len(raw.row) + len(raw.unreadable),
    )
    if raw.unreadable:
        number, text = raw.unreadable[0]
        _count(cleaned.dropped, cleaned, "unreadable_row", len(raw.unreadable), f"row {number}: '{text[:60]}'")
    keep = _usable(raw, cleaned)
    if not keep.any():
        why = ", ".join(f"{reason} {count}" for reason, count in cleaned.dropped.items()) or "it has no rows"
        first = next(iter(cleaned.examples.values()), "")
        raise InvalidTrace(f"{path} holds no usable row: {why}" + (f" (first: {first})" if first else ""))
    row = raw.row[keep]
    cleaned.prompt_tokens = raw.prompt[keep].astype(np.int64)
    outputs = raw.output[keep].astype(np.int64)
    clipped = np.flatnonzero(outputs > max_new_tokens)
    if len(clipped):
        example = f"row {row[clipped[0]]}: output_tokens is {outputs[clipped[0]]}, limit {max_new_tokens}"
        _count(cleaned.repaired, cleaned, "output_clipped_to_max_new_tokens", len(clipped), example)
    cleaned.output_tokens = np.minimum(outputs, max_new_tokens)
    cleaned.arrival_ns = np.zeros(len(outputs), dtype=np.int64)
    if raw.time_ns is not None:
        _order_by_time(path, raw.time_ns[keep], row, cleaned)
    return cleaned


def _usable(raw: RawRows, cleaned: Cleaned) -> Flags:
    """Which rows are kept; each other one is counted under the first reason that it meets."""
    keep = np.ones(len(raw.row), dtype=bool)

    def drop(bad: Flags, reason: str, what: str, values: Floats) -> None:
        bad = bad & keep
        if bad.any():
            first = int(np.argmax(bad))
            example = f"row {raw.row[first]}: {what}" + (f" is {values[first]:g}" if len(values) else "")
            _count(cleaned.dropped, cleaned, reason, int(bad.sum()), example)
            keep[bad] = False

    nothing = np.empty(0)
    for name, values in (("prompt_tokens", raw.prompt), ("output_tokens", raw.output)):
        drop(~np.isfinite(values), f"{name}_not_a_number", f"{name} is not a number", nothing)
    for name, values in (("prompt_tokens", raw.prompt), ("output_tokens", raw.output)):
        whole = np.floor(np.where(keep, values, 0))
        drop(np.where(keep, values, 0) != whole, f"{name}_not_an_integer", name, values)
        drop(whole < 0, f"{name}_negative", name, values)
        drop(keep & (whole == 0), f"{name}_zero", name, values)
        drop(whole > _LARGEST, f"{name}_too_large", name, values)
    if raw.time_ns is not None:
        drop(~raw.time_known, "time_not_readable", "the arrival time cannot be read", nothing)
    return keep


def _order_by_time(path: Path, time_ns: Column, row: Column, cleaned: Cleaned) -> None:
    backwards = np.flatnonzero(np.diff(time_ns) < 0)
    if len(backwards):
        example = f"row {row[backwards[0] + 1]} is earlier than the row before it"
        _count(cleaned.repaired, cleaned, "time_went_back_sorted", len(backwards), example)
        order = np.argsort(time_ns, kind="stable")
        time_ns = time_ns[order]
        cleaned.prompt_tokens = cleaned.prompt_tokens[order]
        cleaned.output_tokens = cleaned.output_tokens[order]
    cleaned.arrival_ns = time_ns - time_ns[0]
    span_s = float(cleaned.arrival_ns[-1]) / 1e9
    rate = (len(time_ns) - 1) / span_s if span_s else 0.0
    lowest, highest = _PLAUSIBLE_RATE
    if span_s and not lowest <= rate <= highest:
        raise InvalidTrace(
            f"{path}: {len(time_ns)} requests in {span_s:g} s are {rate:.3g} per second, which no service has: is the "
            "time in another unit than the format says?"
        )


def _count(counts: dict[str, int], cleaned: Cleaned, reason: str, count: int, example: str) -> None:
    counts[reason] = counts.get(reason, 0) + count
    cleaned.examples.setdefault(reason, example)
