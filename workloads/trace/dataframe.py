"""Requests from the columns of a data frame: pandas, polars, or anything else whose columns NumPy can read."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, NamedTuple

import numpy as np

from ...errors import InvalidTrace, as_given, quoted
from ..quantities import LONGEST_SPAN_S, LONGEST_TOKENS, NS, TIME_UNITS, as_whole, to_ns
from .turns import Column

_COARSE_UNITS = ("Y", "M", "W", "D", "h", "m")
_EPOCH_KINDS = "mM"
"""NumPy's kinds for timedelta64 and datetime64."""


class FrameColumns(NamedTuple):
    """The requests of a data frame in order of arrival.

    Attributes:
        arrival_ns: (rows,), the first is 0; all are 0 where the frame has no arrivals.
        prompt_tokens, output_tokens: (rows,), at least 1.
    """

    arrival_ns: Column
    prompt_tokens: Column
    output_tokens: Column


def token_limit(max_new_tokens: Any) -> int:
    """`max_new_tokens` as an integer. Raises InvalidTrace: it is not a whole number from 1 to `LONGEST_TOKENS`."""
    limit = as_whole(max_new_tokens)
    if limit is None or not 1 <= limit <= LONGEST_TOKENS:
        raise InvalidTrace(
            f"max_new_tokens is {as_given(max_new_tokens)}, expected one whole number for all requests, from 1 to "
            f"{LONGEST_TOKENS}"
        )
    return limit


def frame_columns(frame: Any, *, arrival: str | None, prompt: str, output: str, unit: str | None) -> FrameColumns:
    """Read and check the columns of these names. Rows in messages count from 0, as in `df.iloc`.

    Raises:
        InvalidTrace: a column is missing, the frame has no rows, or a row has no valid arrival or length.
    """
    names = _names(frame)
    for name in (arrival, prompt, output):
        if name is not None and names.count(name) != 1:
            found = "no column" if name not in names else f"{names.count(name)} columns"
            raise InvalidTrace(f"the data frame has {found} {quoted(name)}; its columns are {_listed(names)}")
    lengths = [_tokens(np.asarray(frame[name]), name) for name in (prompt, output)]
    if not len(lengths[0]):
        raise InvalidTrace("the data frame has no rows: expected at least one request")
    if arrival is None:
        if unit is not None:
            raise InvalidTrace(f"unit is '{unit}', but no column holds arrivals: give arrival=NAME, or leave unit out")
        return FrameColumns(np.zeros(len(lengths[0]), dtype=np.int64), *lengths)
    arrival_ns = _arrivals_ns(_values(frame[arrival]), arrival, unit)
    order = np.argsort(arrival_ns, kind="stable")
    return FrameColumns(arrival_ns[order], *(column[order] for column in lengths))


def _names(frame: Any) -> list[str]:
    if hasattr(frame, "column_names"):  # a table of pyarrow: its `columns` are values
        return [str(name) for name in frame.column_names]
    if hasattr(frame, "columns"):
        return [str(name) for name in frame.columns]
    if isinstance(frame, Mapping):
        return [str(name) for name in frame]
    raise InvalidTrace(f"expected a data frame with named columns, got {type(frame).__name__}")


def _listed(names: list[str]) -> str:
    shown = ", ".join(quoted(name) for name in names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown or "none"


def _values(column: Any) -> np.ndarray[Any, Any]:
    """The column as an array; dates with a time zone become UTC, since NumPy's have none."""
    if getattr(getattr(column, "dtype", None), "tz", None) is not None:
        return np.asarray(column.to_numpy(dtype="datetime64[ns]"))
    values = np.asarray(column)
    return _of_python_times(values) if values.dtype == object else values


def _of_python_times(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Objects of `datetime` as NumPy's dates (UTC) or durations; a column of anything else as it is."""
    import pandas as pd

    known = [value for value in values.tolist() if value is not None]
    if known and all(isinstance(value, date) for value in known):
        return np.asarray(pd.to_datetime(pd.Series(values), utc=True).to_numpy(dtype="datetime64[ns]"))
    if known and all(isinstance(value, timedelta) for value in known):
        return np.asarray(pd.to_timedelta(pd.Series(values)).to_numpy(dtype="timedelta64[ns]"))
    return values


def _tokens(values: np.ndarray[Any, Any], name: str) -> Column:
    numbers = _numbers(values, name, "a whole number of tokens")
    wrong = ~np.isfinite(numbers) | (numbers != np.floor(numbers)) | (numbers < 1) | (numbers > LONGEST_TOKENS)
    if wrong.any():
        row = int(wrong.argmax())
        raise InvalidTrace(
            f"row {row}, column {quoted(name)}: {quoted(str(values[row]))} is not a number of tokens, "
            f"expected a whole number from 1 to {LONGEST_TOKENS}"
        )
    return np.asarray(numbers.astype(np.int64))


def _numbers(values: np.ndarray[Any, Any], name: str, expected: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    if values.ndim != 1:
        raise InvalidTrace(f"column {quoted(name)} has {values.ndim} dimensions, expected 1")
    if values.dtype.kind in "iuf":
        return values.astype(np.float64)
    for row, value in enumerate(values.tolist()):
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise InvalidTrace(f"row {row}, column {quoted(name)}: {quoted(str(value))} is not {expected}")
    return values.astype(np.float64)


def _arrivals_ns(values: np.ndarray[Any, Any], name: str, unit: str | None) -> Column:
    """Nanoseconds after the earliest arrival."""
    if values.dtype.kind in _EPOCH_KINDS:
        if unit is not None:
            raise InvalidTrace(f"column {quoted(name)} holds dates, which have their own unit: leave unit='{unit}' out")
        counts, unit_ns, valid = _of_dates(values)
    else:
        _refuse_text(values, name)
        if unit not in TIME_UNITS:
            given = "" if unit is None else f"not '{unit}', "
            raise InvalidTrace(f"column {quoted(name)} holds numbers: give their unit, {given}one of s, ms, us, ns")
        counts, unit_ns, valid = _of_numbers(values, name, TIME_UNITS[unit])
    if not valid.all():
        row = int((~valid).argmax())
        raise InvalidTrace(f"row {row}, column {quoted(name)}: {quoted(str(values[row]))} is not a time of arrival")
    earliest = int(counts.min())
    span_s = (int(counts.max()) - earliest) * unit_ns / NS
    if span_s > LONGEST_SPAN_S:
        raise InvalidTrace(f"column {quoted(name)}: arrivals span {span_s:.3g} s: is the unit right?")
    return np.asarray((counts - earliest) * unit_ns)


def _refuse_text(values: np.ndarray[Any, Any], name: str) -> None:
    text = next((value for value in values.tolist() if isinstance(value, str | bytes)), None)
    if values.dtype.kind in "OUST" and text is not None:
        raise InvalidTrace(
            f"column {quoted(name)} holds text, such as {quoted(text)}: convert it with pd.to_datetime if it has "
            "dates, or with pd.to_numeric if it has numbers"
        )


def _of_dates(values: np.ndarray[Any, Any]) -> tuple[Column, int, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Counts of a unit, its nanoseconds, and which rows have a time."""
    unit = np.datetime_data(values.dtype)[0]
    kind = "datetime64" if values.dtype.kind == "M" else "timedelta64"
    target = unit if unit in TIME_UNITS else "s" if unit in _COARSE_UNITS else "ns"
    counts = values.astype(f"{kind}[{target}]").astype(np.int64)
    return counts, TIME_UNITS[target], ~np.isnat(values)


def _of_numbers(
    values: np.ndarray[Any, Any], name: str, unit_ns: int
) -> tuple[Column, int, np.ndarray[Any, np.dtype[np.bool_]]]:
    """As `_of_dates`. Integers stay exact; fractions are rounded to a nanosecond. Fractions of one are a mistake."""
    if values.dtype.kind in "iu":
        valid = values <= np.iinfo(np.int64).max
        return np.where(valid, values, 0).astype(np.int64), unit_ns, np.asarray(valid)
    numbers = _numbers(values, name, "a number")
    broken = np.isfinite(numbers) & (numbers != np.floor(numbers))
    if unit_ns == 1 and broken.any():
        row = int(broken.argmax())
        raise InvalidTrace(
            f"row {row}, column {quoted(name)}: {quoted(str(values[row]))} is not a whole number of nanoseconds; if "
            "these are seconds, give unit='s'"
        )
    times_ns, valid = to_ns(numbers, unit_ns)
    return times_ns, 1, valid
