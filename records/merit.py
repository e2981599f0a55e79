"""The order of runs, best first: which figure decides, and when two figures count as equal."""

from collections.abc import Sequence

from .metrics import Summary

TIE = 0.02
"""Two figures are equal if they differ by at most this share of the larger one."""

ENOUGH_IN_TIME = 0.05
"""Goodput decides only if at least this share of the requests kept the SLO. Far above capacity only the first requests
keep it, those that arrive before the queue is long: three of 20,000 against one of 20,000 says nothing of a policy."""

FEWEST_IN_TIME = 10
"""Goodput decides only if at least this many requests kept the SLO: one of six against none says nothing either."""


def order_by_merit(summaries: Sequence[Summary]) -> list[int]:
    """Positions of the runs, best first.

    Goodput decides first (if `goodput_decides`), then throughput, then mean E2E. A run stays in the comparison for the
    next figure if it is within `TIE` of the best run that is left.
    """
    left, order = list(range(len(summaries))), []
    while left:
        leading = left
        if goodput_decides([summaries[i] for i in left]):
            leading = _leading(left, [s.goodput_req_s for s in summaries])
        leading = _leading(leading, [s.total_tok_s for s in summaries])
        best = min(leading, key=lambda i: (_mean_e2e(summaries[i]), i))
        order.append(best)
        left.remove(best)
    return order


def goodput_decides(summaries: Sequence[Summary]) -> bool:
    """Whether enough requests kept the SLO for goodput to rank these runs.

    Only the run with the highest goodput is asked, for `ENOUGH_IN_TIME` of its requests and `FEWEST_IN_TIME` of them.
    If all runs were asked, adding a run that is worse in everything could change which figure decides.
    """
    most = max(summaries, key=lambda s: (s.goodput_req_s, s.attainment))
    return most.attainment >= ENOUGH_IN_TIME and round(most.attainment * most.requests) >= FEWEST_IN_TIME


def _leading(positions: list[int], figures: list[float]) -> list[int]:
    most = max(figures[i] for i in positions)
    return [i for i in positions if close(figures[i], most)]


def _mean_e2e(summary: Summary) -> float:
    return summary.e2e_s.mean if summary.e2e_s.mean is not None else float("inf")


def close(a: float, b: float) -> bool:
    """Whether two figures are within `TIE` of each other."""
    return abs(a - b) <= TIE * max(abs(a), abs(b))


def equal(a: Summary, b: Summary) -> bool:
    """Whether two runs are equal in every figure that decides."""
    pairs = [(a.total_tok_s, b.total_tok_s), (_mean_e2e(a), _mean_e2e(b))]
    if goodput_decides((a, b)):
        pairs.append((a.goodput_req_s, b.goodput_req_s))
    return all(x == y or close(x, y) for x, y in pairs)
