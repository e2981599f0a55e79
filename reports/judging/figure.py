"""The figures by which runs are ranked, and which of them decides between two runs."""

from collections.abc import Callable
from dataclasses import dataclass

from ...records.merit import close, goodput_decides, order_by_merit
from ...records.metrics import Summary


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a summary. `of` gives its value, or None if the run has none."""

    name: str
    unit: str
    of: Callable[[Summary], float | None]
    smaller_is_better: bool = False


GOODPUT = Figure("goodput", "requests/s", lambda s: s.goodput_req_s)
THROUGHPUT = Figure("throughput", "tokens/s", lambda s: s.total_tok_s)
MEAN_E2E = Figure("mean E2E", "s", lambda s: s.e2e_s.mean, smaller_is_better=True)
P99_E2E = Figure("p99 E2E", "s", lambda s: s.e2e_s.p99, smaller_is_better=True)


def deciding(best: Summary, other: Summary) -> Figure:
    """The first figure in which the two differ. `best` comes first in the order by merit."""
    is_ahead = best.goodput_req_s > other.goodput_req_s and not close(best.goodput_req_s, other.goodput_req_s)
    if is_ahead and goodput_decides((best, other)):
        return GOODPUT
    return MEAN_E2E if close(best.total_tok_s, other.total_tok_s) else THROUGHPUT


def deciding_either_way(one: Summary, other: Summary) -> Figure:
    """The same, whichever of the two comes first in the order by merit."""
    return deciding(one, other) if order_by_merit([one, other])[0] == 0 else deciding(other, one)
