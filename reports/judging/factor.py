"""By how much a policy is ahead of another, in the figure that decides between them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean

import msgspec

from ...records.metrics import Summary, averaged, close, goodput_decides
from ..numbers import ENOUGH_FOR_P99, three_digits
from .paired import SeedMean, difference, ratio

Seeds = Mapping[str, Mapping[int, Summary]]
"""By label and by seed the summaries of a policy's runs."""
LARGEST_FACTOR = 10.0
"""Above this a ratio says more about a figure near zero than about the winner: only the values are given."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One by which runs are compared."""

    name: str
    unit: str
    of: Callable[[Summary], float | None]
    smaller_is_better: bool = False


GOODPUT = Figure("goodput", "requests/s", lambda s: s.goodput_req_s)
THROUGHPUT = Figure("throughput", "tokens/s", lambda s: s.total_tok_s)
MEAN_E2E = Figure("mean E2E", "s", lambda s: s.e2e_s.mean, smaller_is_better=True)
P99_E2E = Figure("p99 E2E", "s", lambda s: s.e2e_s.p99, smaller_is_better=True)


def deciding(best: Summary, other: Summary) -> Figure:
    """The first figure that tells the two apart, `best` being before the other in the order by merit."""
    is_ahead = best.goodput_req_s > other.goodput_req_s and not close(best.goodput_req_s, other.goodput_req_s)
    if is_ahead and goodput_decides((best, other)):
        return GOODPUT
    return MEAN_E2E if close(best.total_tok_s, other.total_tok_s) else THROUGHPUT


def compared(figure: Figure, mine: Summary, other: Summary, seeds: Seeds) -> str:
    """Both values, and the first over the second unless that would only say that one of them is near zero.

    Over several seeds a ratio is a geometric mean, and so are the values, whose ratio it is, unless one is 0.
    """
    found = factor(figure, mine, other, seeds)
    sides = _sides(figure, mine, other, seeds)
    means = map(geometric_mean, sides) if min(map(min, sides)) > 0 else (figure.of(each) or 0 for each in (mine, other))
    a, b = map(three_digits, means)
    return f"{figure.name} {a} against {b} {figure.unit}" + (f" ({times(found)})" if found else "")


def against(mine: Summary, other: Summary, seeds: Seeds) -> str:
    """The same in every figure that both have."""
    last = P99_E2E if min(mine.finished, other.finished) >= ENOUGH_FOR_P99 else MEAN_E2E
    known = [each for each in (GOODPUT, THROUGHPUT, last) if None not in (each.of(mine), each.of(other))]
    return ", ".join(compared(each, mine, other, seeds) for each in known)


def central(summaries: Sequence[Summary]) -> Summary:
    """One for the runs of several seeds, by which they are ranked: what ratios are made of is a geometric mean, as the
    ratios are, so that who is ranked first is never behind; unless a value is 0.
    """
    found = averaged(summaries)
    goodput, throughput, e2e = (_central(figure, found, summaries) for figure in (GOODPUT, THROUGHPUT, MEAN_E2E))
    return msgspec.structs.replace(
        found,
        goodput_req_s=goodput or 0.0,
        total_tok_s=throughput or 0.0,
        e2e_s=msgspec.structs.replace(found.e2e_s, mean=e2e),
    )


def _central(figure: Figure, mean: Summary, summaries: Sequence[Summary]) -> float | None:
    values = [figure.of(each) or 0.0 for each in summaries]
    return geometric_mean(values) if min(values) > 0 else figure.of(mean)


def times(factor: SeedMean) -> str:
    """As text, with its interval if it has one."""
    return f"{factor.value:.2f}x {ends(factor)}".rstrip()


def ends(factor: SeedMean) -> str:
    """Of its interval, as text; nothing if it has none."""
    return f"[{factor.low:.2f}, {factor.high:.2f}]" if factor.low is not None else ""


def factor(figure: Figure, mine: Summary, other: Summary, seeds: Seeds) -> SeedMean | None:
    """How many times the other's, whichever of them is better; None where a figure is missing or near zero."""
    sides = _sides(figure, mine, other, seeds)
    if min(map(min, sides)) <= 0:
        return None
    found = ratio(*sides)
    return found if 1 / LARGEST_FACTOR <= found.value <= LARGEST_FACTOR else None


def may_be_chance(figure: Figure, best: Summary, other: Summary, seeds: Seeds) -> bool:
    """Whether the interval of the lead reaches down to none; one seed has no interval."""
    sides = _sides(figure, best, other, seeds)
    better, worse = sides[::-1] if figure.smaller_is_better else sides
    if min(*better, *worse) > 0:
        low = ratio(better, worse).low
        return low is not None and low <= 1
    low = difference(better, worse).low
    return low is not None and low <= 0


def _sides(figure: Figure, mine: Summary, other: Summary, seeds: Seeds) -> list[list[float]]:
    """The figure of both on every seed, or where they ran on unlike seeds, the mean of each."""
    by_seed = [seeds[each.policy] for each in (mine, other)]
    if by_seed[0].keys() != by_seed[1].keys():
        return [[figure.of(each) or 0.0] for each in (mine, other)]
    return [[figure.of(side[seed]) or 0.0 for seed in sorted(side)] for side in by_seed]
