"""By how much a policy is ahead of another, in the figure that decides between them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean

from ..metrics import Summary, close
from .numbers import three_digits
from .paired import Estimate, ratio

Seeds = Mapping[str, Sequence[Summary]]
"""By label the summaries of a policy's runs, one a seed, in the same order for all."""
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
    """The first figure that tells the two apart."""
    if not close(best.goodput_req_s, other.goodput_req_s):
        return GOODPUT
    return MEAN_E2E if close(best.total_tok_s, other.total_tok_s) else THROUGHPUT


def compared(figure: Figure, mine: Summary, other: Summary, seeds: Seeds) -> str:
    """Both values, and their ratio unless it would only say that one of them is near zero.

    Over several seeds a ratio is a geometric mean, and so are then the values, whose ratio it is.
    """
    found = factor(figure, mine, other, seeds)
    if found is None:
        a, b = (three_digits(figure.of(each) or 0) for each in (mine, other))
        return f"{figure.name} {a} against {b} {figure.unit}"
    a, b = (three_digits(geometric_mean(side)) for side in _sides(figure, mine, other, seeds))
    return f"{figure.name} {a} against {b} {figure.unit} ({times(found)})"


def times(factor: Estimate) -> str:
    """As text, with its interval if it has one."""
    interval = f" [{factor.low:.2f}, {factor.high:.2f}]" if factor.low is not None else ""
    return f"{factor.value:.2f}x{interval}"


def factor(figure: Figure, mine: Summary, other: Summary, seeds: Seeds) -> Estimate | None:
    """How many times better, above 1 if so; None where a figure is missing or near zero."""
    sides = _sides(figure, mine, other, seeds)
    if min(map(min, sides)) <= 0 or max(map(max, sides)) / min(map(max, sides)) > LARGEST_FACTOR:
        return None
    return ratio(*(reversed(sides) if figure.smaller_is_better else sides))


def _sides(figure: Figure, mine: Summary, other: Summary, seeds: Seeds) -> list[list[float]]:
    """The figure of both on every seed, or where they ran on unlike numbers of seeds, the mean of each."""
    sides = [[figure.of(summary) or 0.0 for summary in seeds[each.policy]] for each in (mine, other)]
    alike = len(sides[0]) == len(sides[1])
    return sides if alike else [[figure.of(each) or 0.0] for each in (mine, other)]
