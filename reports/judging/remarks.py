"""What has to be known beside a verdict, losses included. A line each, plain text."""

from collections.abc import Sequence

from ...records import RunInfo
from ...records.metrics import Summary, equal
from ..numbers import listed
from .contest import on_common_seeds
from .differences import differences
from .factor import Seeds, against

NEVER_TIGHT = 0.01
"""Below this share of time in which memory kept somebody waiting, memory was not the bottleneck."""

_MANY_REJECTED = 0.01
"""From this share of the requests on."""

FACTORS = (
    "Factors are the first figure over the second: above 1 is better for goodput and throughput, below 1 for latencies."
)


def is_count(summary: Summary) -> bool:
    """Whether it is of a policy that looks at no memory."""
    return summary.policy.startswith("count-")


def cautions(infos: Sequence[RunInfo], summaries: Sequence[Summary]) -> list[str]:
    """In what runs differ beside the policy, and which requests came late."""
    settings = [name for name, _ in differences(infos)]
    lines = [f"Caution: these runs differ in more than the policy: {', '.join(settings)}."] if settings else []
    return lines + [
        f"{s.policy} was DEGRADED: its requests came {info.machine.schedule_lag_p99_s * 1e3:.1f} ms late (p99)."
        for s, info in zip(summaries, infos, strict=True)
        if info.machine is not None and info.machine.degraded
    ]


def interruptions(summaries: Sequence[Summary], replicates: Sequence[Sequence[RunInfo]]) -> list[str]:
    """Which runs did not come to their end, and which seeds are left where others do not have them."""
    lines = []
    for s, group in zip(summaries, replicates, strict=True):
        if lost := sum(not info.complete for info in group):
            where = f" on {lost} of {len(group)} seeds" if len(group) > 1 else ""
            lines.append(f"{s.policy} is INCOMPLETE{where}: it was interrupted.")
    common = on_common_seeds(replicates)
    left_out = {info.seed for group in replicates for info in group if info.complete}
    left_out -= {info.seed for group in common for info in group}
    if left_out:
        names = listed([f"seed {seed}" for seed in sorted(left_out)])
        lines.append(f"Left out, since not every policy came to its end there: {names}.")
    return lines


def rejections(summaries: Sequence[Summary], seeds: Seeds) -> list[str]:
    """Who turned away so much that its latencies are of another load."""
    return [
        f"{s.policy} rejected {s.rejected:,} of {s.requests:,} requests ({s.rejected / s.requests:.0%}"
        f"{_in_all(s, seeds)})."
        for s in summaries
        if s.rejected >= max(_MANY_REJECTED * s.requests, 1)
    ]


def out_of_memory(summaries: Sequence[Summary], seeds: Seeds, *, decides: bool) -> list[str]:
    """Who ran out of it. `decides`: whoever did so cannot win."""
    out = ", and is out of the contest" if decides else ""
    return [f"{s.policy} ran out of memory {oom_steps(s, seeds)}{out}." for s in summaries if s.ooms]


def oom_steps(summary: Summary, seeds: Seeds) -> str:
    """In how many steps, and on how many of several seeds."""
    each = seeds[summary.policy].values()
    hit = f"on {sum(s.ooms > 0 for s in each)} of {len(each)} seeds, " if len(each) > 1 else ""
    return f"{hit}in {summary.ooms:,} steps{_in_all(summary, seeds)}"


def _in_all(summary: Summary, seeds: Seeds) -> str:
    return " in all" if len(seeds[summary.policy]) > 1 else ""


def bottleneck(best: Summary, summaries: Sequence[Summary]) -> str:
    """Whether it was memory."""
    aware = [s for s in summaries if not is_count(s)]
    if not aware:
        return "whether memory was the bottleneck no count policy can say, since none looks at it"
    if not any(s.finished for s in aware):
        return "no policy that looks at memory finished a request"
    if max(s.memory_bound_share for s in aware) < NEVER_TIGHT:
        return "memory was never the bottleneck"
    tight = best in aware and best.memory_bound_share >= NEVER_TIGHT
    asked = best if tight else max(aware, key=lambda s: s.memory_bound_share)
    return f"requests waited for memory {asked.memory_bound_share:.0%} of the time under {asked.policy}"


def waits(summaries: Sequence[Summary], tied: Sequence[Summary]) -> list[str]:
    """How long requests waited for memory, or if they did not, what static batches lose by."""
    aware = [s for s in summaries if not is_count(s)]
    if not any(s.finished for s in aware):
        return []
    if max(s.memory_bound_share for s in aware) < NEVER_TIGHT:
        return [
            f"{s.policy} loses by padding ({s.padding_waste:.0%} of what it computed) and by the batch barrier alone."
            for s in summaries
            if s.policy.startswith("count-static") and not s.ooms and s not in tied
        ]
    shares = listed([f"{s.memory_bound_share:.0%} of the time under {s.policy}" for s in aware])
    return [f"Requests waited for memory {shares}."]


def first_fit_decreasing(best: Summary, others: Sequence[Summary], seeds: Seeds) -> list[str]:
    """What first-fit decreasing gained or lost against the best other policy that sees memory: said in either case."""
    contest = [s for s in (best, *others) if not is_count(s)]
    ffd = next((s for s in contest if s.policy.partition("(")[0].strip() == "ffd"), None)
    rival = next((s for s in contest if s is not ffd), None)
    if ffd is None or rival is None:
        return []
    if equal(ffd, rival):
        return [f"{ffd.policy} (first-fit decreasing) gains nothing over {rival.policy} here."]
    word = "against" if ffd is contest[0] else "(first-fit decreasing) loses to"
    return [f"{ffd.policy} {word} {rival.policy}: {against(ffd, rival, seeds)}."]


def foretold(predictions: Sequence[tuple[Summary, RunInfo]]) -> list[str]:
    """Which simulations do not compete, and why."""
    measured = [s.policy for s, info in predictions if not info.is_planned_again]
    lines = []
    if measured:
        are, they = ("is", "it predicts") if len(measured) == 1 else ("are", "they predict")
        lines.append(f"{listed(measured)} {are} out of the contest: what {they} was measured.")
    return lines + [
        f"{s.policy} is out of the contest: it is planned again with a measurement's own times."
        for s, info in predictions
        if info.is_planned_again
    ]


def searches(summaries: Sequence[Summary], replicates: Sequence[Sequence[RunInfo]]) -> list[str]:
    """How counts were found; of several seeds the first one is searched."""
    return [
        f"{s.policy}{f', searched on seed {group[0].seed}' if len(group) > 1 else ''}: {group[0].note}."
        for s, group in zip(summaries, replicates, strict=True)
        if group[0].note
    ]


def certainty(group: Sequence[RunInfo]) -> str:
    """Where a run's figures are from, and how many seeds they are of."""
    info, seeds = group[0], len(group)
    how = "Planned again" if info.is_planned_again else "Simulated" if info.kind == "simulated" else "Measured"
    certain = (
        f"{seeds} seeds, intervals at 95 %; figures and factors are geometric means over them"
        if seeds > 1
        else f"one seed ({info.seed}), so no interval"
    )
    return f"{how}: {info.scenario.step_time}; {certain}."
