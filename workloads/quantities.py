"""Quantities: units of time and size, and the largest values that a trace may hold."""

import operator
import re
from typing import Any

import numpy as np

from ..errors import InvalidScenario, as_given

NS = 1_000_000_000
"""Nanoseconds in a second."""

TIME_UNITS = {"s": NS, "ms": 10**6, "us": 10**3, "ns": 1}
"""Nanoseconds in each unit of time that a column may have."""

LONGEST_TOKENS = 2**31 - 1
"""Longer prompts and outputs are mistakes, and would overflow sums of bytes."""

LONGEST_SPAN_S = 9e9
"""The longest time from the first arrival to the last, all pauses included: int64 nanoseconds end at 9.2e9 s."""

_LARGEST_NS = 9e18
_BYTE_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}

_Floats = np.ndarray[Any, np.dtype[np.float64]]
_Integers = np.ndarray[Any, np.dtype[np.int64]]
_Flags = np.ndarray[Any, np.dtype[np.bool_]]


def parse_bytes(text: str) -> int:
    """The number of bytes in `24GiB`, `512 MiB` or `80GB`. A number without a unit is bytes, if it is at least 1 MiB.

    Raises InvalidScenario: the text has another form, or lacks its unit.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", text)
    unit = _BYTE_UNITS.get(match[2].lower()) if match else None
    size = float(match[1]) * unit if match and unit else 0.0
    if not 1 <= size < 2**63:
        raise InvalidScenario(f"size '{text}': expected a number with GiB, MiB, GB or MB, such as 24GiB")
    if match and not match[2] and size < 2**20:
        raise InvalidScenario(f"size '{text}': give a unit, such as {match[1]}GiB")
    return int(size)


def as_whole(value: Any) -> int | None:
    """The value as an integer; None if it is no whole number, or a truth value or text."""
    if isinstance(value, bool | np.bool_ | np.ndarray):
        return None
    if isinstance(value, float | np.floating):
        return int(value) if float(value).is_integer() else None
    return operator.index(value) if hasattr(value, "__index__") else None


def whole_within(name: str, value: Any, least: int, most: int = LONGEST_TOKENS) -> int:
    """The value as an integer. Raises InvalidScenario: it is not a whole number from `least` to `most`."""
    whole = as_whole(value)
    if whole is None or not least <= whole <= most:
        bounds = f"from {least} to {most}" if whole is not None and whole > most else f"of at least {least}"
        raise InvalidScenario(f"{name} is {as_given(value)}, expected a whole number {bounds}")
    return whole


def number_within(name: str, value: Any, least: float | None, most: float) -> float:
    """The value as a float. `least` None: it must be positive. Raises InvalidScenario: it is no number up to `most`."""
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    number = float(value) if is_number else float("nan")
    if not (number > 0 if least is None else number >= least) or number > most:
        wanted = "a positive number" if least is None else f"a number of at least {least:g}"
        limit = f", at most {most:g}" if number > most else ""
        raise InvalidScenario(f"{name} is {as_given(value)}, expected {wanted}{limit}")
    return number


def to_ns(values: _Floats, unit_ns: int) -> tuple[_Integers, _Flags]:
    """Times in nanoseconds, and which of them are valid; NaN and times beyond int64 are not, and become 0.

    Whole numbers are converted exactly, whatever their size.

    Args:
        values: (rows,), times in units of `unit_ns` nanoseconds.
    """
    valid = np.isfinite(values) & (np.abs(values) < _LARGEST_NS / unit_ns)
    values = np.where(valid, values, 0)
    whole = np.floor(values)
    part_ns = np.rint((values - whole) * unit_ns)
    return whole.astype(np.int64) * unit_ns + part_ns.astype(np.int64), valid
