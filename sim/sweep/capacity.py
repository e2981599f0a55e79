"""Where a policy's capacity lies on a grid of rates, and which rates to measure to find it.

Attainment is the share of requests that keep the SLO. If it falls as the rate rises, bisection finds the highest rate
that passes by measuring at most ceil(log2(rates + 1)) rates. Only measured rates show whether it does fall.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from itertools import pairwise

from ...errors import InvalidScenario, quoted
from ...records.sweep import RatePoint

MOST_RATES = 1_000
_NOTABLE = 0.1  # a larger rise of attainment is not noise


def rates_of(spec: str) -> list[float]:
    """The grid LOW:HIGH:STEP in requests per second, ascending. HIGH is on the grid if steps from LOW reach it.

    Raises:
        InvalidScenario: the text has another form, LOW is above HIGH, there are more than `MOST_RATES` rates, or two
            rates are equal in 15 digits.
    """
    try:
        low, high, step = (Decimal(part) for part in spec.split(":"))
        if not all(value.is_finite() for value in (low, high, step)):
            raise InvalidOperation
    except (ValueError, InvalidOperation):
        raise InvalidScenario(f"the grid {quoted(spec)} is not of the form LOW:HIGH:STEP, such as 1:10:0.5") from None
    if low <= 0 or step <= 0:
        raise InvalidScenario(f"the grid {quoted(spec)}: LOW and STEP must be positive numbers of requests per second")
    if low > high:
        raise InvalidScenario(f"the grid {quoted(spec)}: LOW is above HIGH")
    if high - low >= MOST_RATES * step:
        raise InvalidScenario(f"the grid {quoted(spec)} has more than {MOST_RATES:,} rates: choose a larger STEP")
    rates = [float(low + i * step) for i in range(int((high - low) / step) + 1)]
    if len({rate_text(rate) for rate in rates}) < len(rates):
        raise InvalidScenario(
            f"the grid {quoted(spec)}: STEP is too small to tell the rates apart: choose a larger STEP"
        )
    return rates


def rate_text(rate: float) -> str:
    """A rate as text, as it was written in the grid."""
    return f"{rate:.15g}"


def bracket(count: int, passed: Mapping[int, bool]) -> tuple[int, int]:
    """The positions, among `count` rates, of the highest rate that passed and the lowest that failed.

    Capacity lies between the two. The first is -1 if none passed; the second is `count` if none failed.
    """
    low = max((i for i, passes in passed.items() if passes), default=-1)
    return low, min((i for i, passes in passed.items() if not passes), default=count)


def next_rates(count: int, passed: Mapping[int, bool], *, every: bool) -> list[int]:
    """Positions of the rates to measure next; none if capacity is found.

    Args:
        passed: whether a rate passed, by position.
        every: measure all rates instead of bisecting.
    """
    if every:
        return [i for i in range(count) if i not in passed]
    low, high = bracket(count, passed)
    return [(low + high) // 2] if high - low > 1 else []


def rounds_left(count: int, passed: Mapping[int, bool]) -> tuple[int, int]:
    """How many more rates bisection measures: the least and the most."""
    low, high = bracket(count, passed)
    unknown = high - low - 1
    return (unknown + 1).bit_length() - 1, unknown.bit_length()


def capacity_of(points: Sequence[RatePoint], target: float) -> tuple[float | None, float | None]:
    """The highest rate below the first rate that misses the target, and that first rate; None where there is none.

    Args:
        points: by rate, ascending.
        target: the attainment to reach.
    """
    failing = [point.rate for point in points if point.attainment < target]
    passing = [point.rate for point in points if not failing or point.rate < failing[0]]
    return (passing[-1] if passing else None), (failing[0] if failing else None)


def rises(points: Sequence[RatePoint], target: float) -> list[str]:
    """Sentences about rates where attainment rises after a rate that fails: capacity may be higher than reported."""
    return [
        f"attainment rises from {below.attainment:.1%} at {rate_text(below.rate)} to {above.attainment:.1%} at "
        f"{rate_text(above.rate)} requests/s: the capacity shown is below the first rate that fails"
        for below, above in pairwise(points)
        if below.attainment < target and (above.attainment >= target or above.attainment > below.attainment + _NOTABLE)
    ]
