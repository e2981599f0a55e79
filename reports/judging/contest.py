"""The ranking of the contenders, and the reasons why there may be none."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import msgspec

from ...experiment import Limits
from ...records import ScenarioInfo
from ...records.merit import equal, order_by_merit
from .cases import limits_of, on_common_seeds
from .contender import Contender


@dataclass(frozen=True, slots=True)
class Standings:
    """The contenders of a comparison by their part in it.

    Attributes:
        everyone: all contenders, in the order of the runs.
        ranked: those that compete, best first.
        tied: the best, and those that nothing tells apart from it.
        candidates: the best, and all others that are neither an upper bound nor repeat a measurement.
        bounds: upper bounds beside the best.
        repeats: simulations of what another contender measured.
        baseline: the best count policy, if the best is not a count policy itself.
    """

    everyone: Sequence[Contender]
    ranked: Sequence[Contender]
    tied: Sequence[Contender]
    candidates: Sequence[Contender]
    bounds: Sequence[Contender]
    repeats: Sequence[Contender]
    baseline: Contender | None

    @property
    def best(self) -> Contender:
        """The first of the ranking."""
        return self.ranked[0]

    @property
    def others(self) -> Sequence[Contender]:
        """The ranking without its first."""
        return self.ranked[1:]

    @property
    def rival(self) -> Contender | None:
        """The contender that the best is compared with in one figure: the baseline if it is ranked, else the second."""
        if self.baseline in self.others:
            return self.baseline
        return next(iter(self.others), None)


def standings(everyone: Sequence[Contender]) -> Standings:
    """Rank the contenders of a comparison that has a winner."""
    ranked = contest(everyone)
    best, others = ranked[0], ranked[1:]
    bounds = [each for each in everyone if each.upper_bound and each is not best]
    repeats = [each for each in everyone if each.repeats_measurement]
    candidates = [each for each in everyone if each not in bounds and each not in repeats]
    excluded = [each for each in candidates if each not in others]
    return Standings(
        everyone=everyone,
        ranked=ranked,
        tied=[best, *(each for each in others if equal(best.summary, each.summary))],
        candidates=candidates,
        bounds=bounds,
        repeats=repeats,
        baseline=None if best.counts_requests else _best_count(others, excluded),
    )


def contest(everyone: Sequence[Contender]) -> list[Contender]:
    """Those that compete, best first.

    Upper bounds compete only if there is nothing else, and so do incomplete runs and runs that ran out of memory. A
    simulation of what was measured does not compete. A simulation that nothing measured does, and reports mark it as a
    prediction.
    """
    entrants = _entrants(everyone)
    complete = [each for each in entrants if each.complete] or entrants
    ranked = [each for each in complete if not each.summary.ooms] or complete
    return [ranked[i] for i in order_by_merit([each.summary for each in ranked])]


def _entrants(everyone: Sequence[Contender]) -> Sequence[Contender]:
    feasible = [each for each in everyone if not each.upper_bound] or everyone
    return [each for each in feasible if not each.repeats_measurement] or feasible


def _best_count(others: Sequence[Contender], excluded: Sequence[Contender]) -> Contender | None:
    """The best count policy in the ranking, or a better count policy that fits on its first seed but not on every seed.

    The count was searched on the first seed. Without the second rule, a count that is too large for another seed would
    leave a weak count as the baseline.
    """
    fits = next((each for each in others if each.counts_requests), None)
    nearly = [
        each
        for each in excluded
        if each.counts_requests and each.summary.ooms and not each.by_seed[min(each.by_seed)].ooms
    ]
    counts = [*([fits] if fits else []), *nearly]
    return counts[order_by_merit([each.summary for each in counts])[0]] if counts else None


def incomparable(everyone: Sequence[Contender]) -> list[str]:
    """The settings in which competing runs differ, if these make every comparison of them meaningless."""
    groups = on_common_seeds([each.replicates for each in _entrants(everyone)])
    common = set.intersection(*({info.seed for info in group} for group in groups))
    drawn = [
        {info.scenario.trace.content_hash for info in group if info.seed in common or not common} for group in groups
    ]
    given = [_circumstances(group[0].scenario) for group in groups]
    found = ["trace"] if any(each != drawn[0] for each in drawn) else []
    return found + [name for name in given[0] if len({each[name] for each in given} - {None}) > 1]


def _circumstances(scenario: ScenarioInfo) -> dict[str, Hashable]:
    """What must be equal in all runs of a comparison; None where an old record lacks it."""
    limits = limits_of(scenario)
    sizes = ("vram_bytes", "kv_budget_tokens", "kv_blocks", "block_tokens")
    return {
        "model": scenario.model,
        "device": scenario.device,
        "memory": limits and tuple(getattr(limits, name) for name in sizes),
        "limits": limits and msgspec.structs.replace(limits, **{name: getattr(Limits(), name) for name in sizes}),
        "SLO": (scenario.slo_ttft_s, scenario.slo_tpot_s),
    }
