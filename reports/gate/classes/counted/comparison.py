"""Compares counts, and carries an accepted baseline over to another compiler or machine."""

from collections.abc import Mapping

from ...baseline import ACCEPT
from ...result import Check, Outcome
from .counting import Counts

NAME = "counted"
MAX_INCREASE = 0.005


def compare_counts(
    base: Counts, head: Counts, *, max_increase: float = MAX_INCREASE, limits: Mapping[str, float] | None = None
) -> list[Check]:
    """One check for each case and metric of either side, sorted.

    Args:
        max_increase: the largest change that passes, as a share.
        limits: by name of a case; replaces `max_increase`.

    Raises ValueError: the keys differ, so base has to be counted again on this machine.
    """
    if base.key != head.key:
        raise ValueError(f"counts of different keys cannot be compared: {base.key} and {head.key}")
    own = limits or {}
    return [
        _compared(case, metric, base.get(case, metric), head.get(case, metric), own.get(case, max_increase))
        for case in sorted(base.counts.keys() | head.counts.keys())
        for metric in sorted(base.counts.get(case, {}).keys() | head.counts.get(case, {}).keys())
    ]


def carried_over(accepted: Counts, before: Counts | None, recounted: Counts, head: Counts) -> Counts:
    """The accepted counts as this machine would have counted them.

    Args:
        accepted: the baseline now, counted with another key.
        before: the baseline as the base commit has it; accepted / before is the change accepted since then.
        recounted: the base commit, counted here.
        head: gives the counts of accepted cases that the base commit does not have yet.
    """

    def expected(case: str, metric: str, here: int) -> int:
        now, then = accepted.get(case, metric), before.get(case, metric) if before else None
        return round(here * now / then) if now and then and before and before.key == accepted.key else here

    counts = {
        case: {metric: expected(case, metric, here) for metric, here in metrics.items()}
        for case, metrics in recounted.counts.items()
    }
    added = {case: head.counts[case] for case in accepted.counts if case not in counts and case in head.counts}
    return Counts(head.key, counts | added)


def _compared(case: str, metric: str, base: int | None, head: int | None, limit: float) -> Check:
    outcome, change, detail = Outcome.BROKEN, None, ""
    if head is None:
        detail = f"'{case}' was renamed or deleted, or no longer reports {metric}; {ACCEPT}"
    elif base is None:
        detail = f"the baseline does not have {metric} of '{case}'; {ACCEPT}"
    else:
        change = (head - base) / base if base > 0 else 0.0 if head == 0 else None
        outcome, detail = _judged(change, limit)
    return Check(NAME, case, f"{metric} a round", outcome, base, head, change=change, threshold=limit, detail=detail)


def _judged(change: float | None, limit: float) -> tuple[Outcome, str]:
    if change is None:
        return Outcome.REGRESSED, "the baseline has 0"
    if change > limit:
        return Outcome.REGRESSED, f"{change:+.2%} is above the limit of {limit:+.2%}"
    better = f"better by {-change:.2%}: `gate accept` keeps the gain" if change < -limit else ""
    return Outcome.PASSED, better
