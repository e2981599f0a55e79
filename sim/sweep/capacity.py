"""Where a policy's capacity lies on a grid of rates, and which rates to measure to find it.

Attainment, the share of requests that keep the SLO, falls as the rate rises: then bisection finds the highest rate that
passes after measuring ceil(log2(rates + 1)) of them. Whether it does fall is only known of rates that were measured.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from itertools import pairwise

from ...errors import InvalidScenario
from ...records.sweep import RatePoint

MOST_RATES = 1_000
_NOTABLE = 0.1  # a rise of the share that kept the SLO which is no noise


def rates_of(spec: str) -> list[float]:
    """The grid of LOW:HIGH:STEP, in requests per second, ascending; HIGH is on it if steps from LOW reach it.

    Raises InvalidScenario: another form, an order that is not ascending, more than `MOST_RATES`, or rates that are not
    told apart as they are written.
    """
    try:
        low, high, step = (Decimal(part) for part in spec.split(":"))
        if not all(value.is_finite() for value in (low, high, step)):
            raise InvalidOperation
    except (ValueError, InvalidOperation):
        raise InvalidScenario(f"--rate '{spec}' is not of the form LOW:HIGH:STEP, such as 1:10:0.5") from None
    if low <= 0 or step <= 0:
        raise InvalidScenario(f"--rate '{spec}': LOW and STEP must be positive numbers, of requests per second")
    if low > high:
        raise InvalidScenario(f"--rate '{spec}': LOW is above HIGH")
    if high - low >= MOST_RATES * step:
        raise InvalidScenario(f"--rate '{spec}' has more than {MOST_RATES:,} rates: choose a larger STEP")
    rates = [float(low + i * step) for i in range(int((high - low) / step) + 1)]
    if len({rate_text(rate) for rate in rates}) < len(rates):
        raise InvalidScenario(f"--rate '{spec}': rates as near to each other as STEP are the same: choose a larger one")
    return rates


def rate_text(rate: float) -> str:
    """A rate as it was written in the grid."""
    return f"{rate:.15g}"


def bracket(count: int, passed: Mapping[int, bool]) -> tuple[int, int]:
    """Between which of `count` rates capacity lies, by position: the highest that passed, -1 if none did, and the
    lowest that failed, `count` if none did.
    """
    low = max((i for i, passes in passed.items() if passes), default=-1)
    return low, min((i for i, passes in passed.items() if not passes), default=count)


def next_rates(count: int, passed: Mapping[int, bool], *, every: bool) -> list[int]:
    """Positions to measure next, given what passed so far; none when capacity is found, or `every` rate measured."""
    if every:
        return [i for i in range(count) if i not in passed]
    low, high = bracket(count, passed)
    return [(low + high) // 2] if high - low > 1 else []


def rounds_left(count: int, passed: Mapping[int, bool]) -> tuple[int, int]:
    """How many more rates bisection measures: at least, and at most."""
    low, high = bracket(count, passed)
    unknown = high - low - 1
    return (unknown + 1).bit_length() - 1, unknown.bit_length()


def capacity_of(points: Sequence[RatePoint], target: float) -> tuple[float | None, float | None]:
    """The highest rate below the first that fails to reach the target, and that one; None where there is none.

    Args:
        points: by rate, ascending.
    """
    failing = [point.rate for point in points if point.attainment < target]
    passing = [point.rate for point in points if not failing or point.rate < failing[0]]
    return (passing[-1] if passing else None), (failing[0] if failing else None)


def rises(points: Sequence[RatePoint], target: float) -> list[str]:
    """Says where attainment rises from a rate that fails to the next that was measured: capacity may be another."""
    return [
        f"attainment rises from {below.attainment:.1%} at {rate_text(below.rate)} to {above.attainment:.1%} at "
        f"{rate_text(above.rate)} requests/s: capacity is taken below the first rate that fails"
        for below, above in pairwise(points)
        if below.attainment < target and (above.attainment >= target or above.attainment > below.attainment + _NOTABLE)
    ]
