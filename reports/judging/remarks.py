"""What a reader must know beside the verdict, losses included: one line each, plain text."""

from collections.abc import Sequence

from ...records import RunInfo
from ...records.merit import equal
from ..numbers import listed
from .contender import Contender
from .contest import Standings
from .differences import differences
from .factor import compared_in_all, may_be_chance
from .figure import deciding_either_way

NEVER_TIGHT = 0.01
"""If requests waited for memory during less than this share of the run, memory was not the bottleneck."""

_MANY_REJECTED = 0.01
"""From this share of the requests on, rejections are mentioned."""

FACTORS = (
    "A factor is the first figure divided by the second: above 1 is better for goodput and throughput, below 1 for "
    "latencies."
)


def remarks_on_winner(found: Standings) -> list[str]:
    """All lines beside a verdict that has a winner."""
    best, others, bounds = found.best, found.others, found.bounds
    lines = [*cautions(found.everyone), *_troubles(found.everyone)]
    if found.baseline is not None:
        lines.append(f"{best.label} against {found.baseline.label}: {compared_in_all(best, found.baseline)}.")
    lines += [
        f"{best.label} against {each.label}, which knows the true output lengths: {compared_in_all(best, each)}."
        for each in bounds
    ]
    lines += first_fit_decreasing(found)
    lines += waits(found)
    lines += out_of_memory(found.everyone, can_win=bool(best.summary.ooms))
    lines += repeats(found)
    lines += searches(found.everyone)
    lines += [FACTORS] if others or bounds else []
    return lines + list(dict.fromkeys(certainty(each) for each in (best, *found.everyone)))


def remarks_without_winner(everyone: Sequence[Contender]) -> list[str]:
    """All lines beside a verdict that has none."""
    lines = [*cautions(everyone), *_troubles(everyone), *out_of_memory(everyone, can_win=True)]
    return lines + list(dict.fromkeys(certainty(each) for each in everyone))


def remarks_on_one(only: Contender) -> list[str]:
    """All lines beside the description of a single run."""
    return [*_troubles([only]), certainty(only)]


def _troubles(everyone: Sequence[Contender]) -> list[str]:
    return [*interruptions(everyone), *rejections(everyone)]


def cautions(everyone: Sequence[Contender]) -> list[str]:
    """In which settings the runs differ, and which runs submitted their requests late."""
    settings = [name for name, _ in differences([each.info for each in everyone])]
    lines = [f"Caution: these runs differ in more than the policy: {', '.join(settings)}."] if settings else []
    return lines + [
        f"{each.label} is DEGRADED: its requests were submitted {machine.schedule_lag_p99_s * 1e3:.1f} ms late (p99)."
        for each in everyone
        if (machine := each.info.machine) is not None and machine.degraded
    ]


def interruptions(everyone: Sequence[Contender]) -> list[str]:
    """Which runs were interrupted, and which seeds are left out because of this."""
    lines = []
    for each in everyone:
        if lost := sum(not info.complete for info in each.replicates):
            where = f" on {lost} of {len(each.replicates)} seeds" if len(each.replicates) > 1 else ""
            lines.append(f"{each.label} is INCOMPLETE{where}: it was interrupted.")
    left_out = {info.seed for each in everyone for info in each.replicates if info.complete}
    left_out -= {info.seed for each in everyone for info in each.compared}
    if left_out:
        names = listed([f"seed {seed}" for seed in sorted(left_out)])
        lines.append(f"Left out, because not every policy completed it: {names}.")
    return lines


def rejections(everyone: Sequence[Contender]) -> list[str]:
    """Which policies rejected so many requests that their latencies belong to another load."""
    return [
        f"{each.label} rejected {s.rejected:,} of {s.requests:,} requests ({s.rejected / s.requests:.0%}"
        f"{_in_all(each)})."
        for each in everyone
        if (s := each.summary).rejected >= max(_MANY_REJECTED * s.requests, 1)
    ]


def out_of_memory(everyone: Sequence[Contender], *, can_win: bool) -> list[str]:
    """Which policies ran out of memory. `can_win`: whether such a policy can still win."""
    ending = "" if can_win else ", so it cannot win"
    return [f"{each.label} ran out of memory {oom_steps(each)}{ending}." for each in everyone if each.summary.ooms]


def oom_steps(contender: Contender) -> str:
    """In how many steps a policy ran out of memory, and on how many of several seeds."""
    seeds = contender.by_seed.values()
    hit = f"on {sum(s.ooms > 0 for s in seeds)} of {len(seeds)} seeds, " if len(seeds) > 1 else ""
    return f"{hit}in {contender.summary.ooms:,} steps{_in_all(contender)}"


def _in_all(contender: Contender) -> str:
    return " in all" if len(contender.by_seed) > 1 else ""


def bottleneck(best: Contender, candidates: Sequence[Contender]) -> str:
    """Whether memory was the bottleneck, in a sentence."""
    aware = [each for each in candidates if not each.counts_requests]
    if not aware:
        return "Count policies do not look at memory, so these runs cannot show whether memory was the bottleneck."
    if not any(each.summary.finished for each in aware):
        return "No policy that looks at memory finished a request."
    if _longest_wait(aware) < NEVER_TIGHT:
        return "Memory was never the bottleneck."
    is_tight = best in aware and best.summary.memory_bound_share >= NEVER_TIGHT
    shown = best if is_tight else max(aware, key=lambda each: each.summary.memory_bound_share)
    share = shown.summary.memory_bound_share
    return f"Under {shown.label}, at least one request waited for memory during {share:.0%} of the run."


def _longest_wait(aware: Sequence[Contender]) -> float:
    return max(each.summary.memory_bound_share for each in aware)


def waits(found: Standings) -> list[str]:
    """How long requests waited for memory; if they did not, why static batches lose."""
    aware = [each for each in found.candidates if not each.counts_requests]
    if not any(each.summary.finished for each in aware):
        return []
    if _longest_wait(aware) < NEVER_TIGHT:
        return [
            f"Memory was never the bottleneck, so {each.label} loses only by padding "
            f"({each.summary.padding_waste:.0%} of what it computed) and by the batch barrier."
            for each in found.candidates
            if each.info.is_padded and not each.summary.ooms and each not in found.tied
        ]
    shares = listed([f"{each.summary.memory_bound_share:.0%} under {each.label}" for each in aware])
    return [f"Share of the run during which at least one request waited for memory: {shares}."]


def first_fit_decreasing(found: Standings) -> list[str]:
    """What first-fit decreasing gains or loses against the best other policy that looks at memory."""
    aware = [each for each in found.ranked if not each.counts_requests]
    ffd = next((each for each in aware if each.info.policy_id == "ffd"), None)
    rival = next((each for each in aware if each is not ffd), None)
    if ffd is None or rival is None:
        return []
    if equal(ffd.summary, rival.summary):
        return [f"{ffd.label} (first-fit decreasing) gains nothing over {rival.label} here."]
    is_first = ffd is aware[0]
    winner, loser = (ffd, rival) if is_first else (rival, ffd)
    if may_be_chance(deciding_either_way(winner.summary, loser.summary), winner, loser):
        word = "(first-fit decreasing) cannot be told apart from"
    else:
        word = "against" if is_first else "(first-fit decreasing) loses to"
    return [f"{ffd.label} {word} {rival.label}: {compared_in_all(ffd, rival)}."]


def repeats(found: Standings) -> list[str]:
    """Which simulations are not ranked, and why."""
    predictions = [each.label for each in found.repeats if not each.info.is_parity_check]
    lines = []
    if predictions:
        verb = "is" if len(predictions) == 1 else "are"
        lines.append(f"{listed(predictions)} {verb} not ranked: the same case was also measured.")
    return lines + [
        f"{each.label} is not ranked: it is a parity check, which repeats a measured run with its own step times."
        for each in found.repeats
        if each.info.is_parity_check
    ]


def searches(everyone: Sequence[Contender]) -> list[str]:
    """How counts were chosen. With several seeds the count is searched on the first one."""
    return [
        f"{each.label}{f', count searched on seed {first.seed}' if len(each.replicates) > 1 else ''}: {first.note}."
        for each in everyone
        if (first := each.replicates[0]).note
    ]


def certainty(contender: Contender) -> str:
    """Where the figures of a contender come from, and how many seeds they cover."""
    info, seeds = contender.compared[0], len(contender.compared)
    certain = (
        f"{seeds} seeds: figures and factors are geometric means over them, with 95 % intervals"
        if seeds > 1
        else f"one seed ({info.seed}), so no interval"
    )
    return f"{_origin(info)} {info.scenario.step_time}; {certain}."


def _origin(info: RunInfo) -> str:
    if info.is_parity_check:
        return "Parity check with the step times of"
    return "Simulated:" if info.kind == "simulated" else "Measured:"
