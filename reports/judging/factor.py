"""How many times one contender's figure is another's, with its interval over seeds."""

from dataclasses import dataclass
from statistics import geometric_mean

from ..numbers import ENOUGH_FOR_P99, three_digits
from .contender import Contender
from .figure import GOODPUT, MEAN_E2E, P99_E2E, THROUGHPUT, Figure, deciding_either_way
from .paired import SeedMean, difference, ratio

LARGEST_FACTOR = 10.0
"""A larger factor says more about a figure near zero than about the winner, so only the values are given."""


@dataclass(frozen=True, slots=True)
class FactorOver:
    """The winner's figure divided by another contender's.

    Attributes:
        label: the other contender.
        figure: the figure that decides between the two.
        mean: the factor, with its interval over seeds.
    """

    label: str
    figure: Figure
    mean: SeedMean


def factor_over(best: Contender, other: Contender) -> FactorOver | None:
    """The factor in the figure that decides; None if a figure is missing or near zero."""
    figure = deciding_either_way(best.summary, other.summary)
    mean = factor(figure, best, other)
    return FactorOver(other.label, figure, mean) if mean is not None else None


def factor(figure: Figure, mine: Contender, other: Contender) -> SeedMean | None:
    """How many times the other's figure mine is; None if a figure is missing, near zero, or too far from the other."""
    sides = _sides(figure, mine, other)
    if min(map(min, sides)) <= 0:
        return None
    found = ratio(*sides)
    return found if 1 / LARGEST_FACTOR <= found.value <= LARGEST_FACTOR else None


def compared(figure: Figure, mine: Contender, other: Contender) -> str:
    """Both values, and their factor if there is one.

    Over several seeds the values are geometric means, as the factor is; if a value is 0, they are arithmetic means.
    """
    found = factor(figure, mine, other)
    sides = _sides(figure, mine, other)
    has_ratio = min(map(min, sides)) > 0
    means = map(geometric_mean, sides) if has_ratio else (figure.of(each.summary) or 0 for each in (mine, other))
    a, b = map(three_digits, means)
    return f"{figure.name} {a} against {b} {figure.unit}" + (f" ({times(found)})" if found else "")


def compared_by_merit(mine: Contender, other: Contender) -> str:
    """`compared` in the figure that decides between the two."""
    return compared(deciding_either_way(mine.summary, other.summary), mine, other)


def compared_in_all(mine: Contender, other: Contender) -> str:
    """`compared` in goodput, throughput and tail latency, as far as both have them."""
    a, b = mine.summary, other.summary
    last = P99_E2E if min(a.finished, b.finished) >= ENOUGH_FOR_P99 else MEAN_E2E
    known = [each for each in (GOODPUT, THROUGHPUT, last) if None not in (each.of(a), each.of(b))]
    return ", ".join(compared(each, mine, other) for each in known)


def may_be_chance(figure: Figure, best: Contender, other: Contender) -> bool:
    """Whether the interval of the advantage includes none. With one seed there is no interval, so the answer is no."""
    sides = _sides(figure, best, other)
    better, worse = sides[::-1] if figure.smaller_is_better else sides
    if min(*better, *worse) > 0:
        low = ratio(better, worse).low
        return low is not None and low <= 1
    low = difference(better, worse).low
    return low is not None and low <= 0


def times(factor: SeedMean) -> str:
    """The factor as text, with its interval if it has one."""
    return f"{factor.value:.2f}x {factor_interval(factor)}".rstrip()


def factor_interval(factor: SeedMean) -> str:
    """The interval of a factor as text; empty if it has none."""
    return f"[{factor.low:.2f}, {factor.high:.2f}]" if factor.low is not None else ""


def _sides(figure: Figure, mine: Contender, other: Contender) -> list[list[float]]:
    """The figure of both contenders on every seed; if their seeds differ, the mean of each."""
    if mine.by_seed.keys() != other.by_seed.keys():
        return [[figure.of(each.summary) or 0.0] for each in (mine, other)]
    return [[figure.of(each.by_seed[seed]) or 0.0 for seed in sorted(each.by_seed)] for each in (mine, other)]
