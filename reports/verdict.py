"""Who wins, by how much, against what, and whether memory had anything to do with it. Plain text only."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from ..metrics import Summary, equal
from ..records import RunInfo
from .contest import contest, on_common_seeds, predicted
from .differences import differences
from .lead import (
    GOODPUT,
    MEAN_E2E,
    P99_E2E,
    THROUGHPUT,
    Seeds,
    central,
    compared,
    deciding,
    factor,
    may_be_chance,
    times,
)
from .numbers import ENOUGH_FOR_P99, three_digits
from .paired import Estimate

NEVER_TIGHT = 0.01
"""Below this share of time in which memory kept somebody waiting, memory was not the bottleneck."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a comparison came to.

    Attributes:
        headline: who wins, and by how much, in a few words.
        sentence: the same against whom it matters, and whether memory was the bottleneck.
        details: what else has to be known, losses included.
        winner: position of the winning run.
        name: what it is called.
        ranking: positions of all runs in the contest, best first.
        tied: another run cannot be told apart from the winner.
        contested: there was more than one run.
        lead: the winner's lead over the baseline, or else over the runner-up: over which, in what, and how many times.
    """

    headline: str
    sentence: str
    details: list[str]
    winner: int
    name: str
    ranking: list[int]
    tied: bool
    contested: bool
    lead: tuple[str, str, Estimate] | None = None


def summary_of(info: RunInfo) -> Summary:
    """The run's summary, typed."""
    return msgspec.convert(info.summary, Summary)


def labels_of(infos: Sequence[RunInfo]) -> list[str]:
    """The policies as they are shown: where some runs are real and some simulated with what each is, and if that does
    not make all of them different, with a number.
    """
    labels = [info.label for info in infos]
    if len({info.kind for info in infos}) > 1:
        labels = [f"{info.label} ({info.kind})" for info in infos]
    if len(set(labels)) < len(labels):
        labels = [f"{label} #{number}" for number, label in enumerate(labels, 1)]
    return labels


def labelled_summaries(infos: Sequence[RunInfo]) -> list[Summary]:
    """The summaries, with `policy` made different for each."""
    labels = labels_of(infos)
    return [msgspec.structs.replace(summary_of(info), policy=label) for info, label in zip(infos, labels, strict=True)]


def verdict(infos: Sequence[RunInfo], replicates: Sequence[Sequence[RunInfo]] = ()) -> Verdict:
    """Judge runs of the same requests: who competes, see `contest`.

    Args:
        replicates: of each run the runs of all seeds, itself among them; then figures are means over the seeds that
            the runs have in common.
    """
    labels = labels_of(infos)
    replicates = replicates or [[info] for info in infos]
    groups = on_common_seeds(replicates)
    seeds = {
        label: {each.seed: summary_of(each) for each in group} for label, group in zip(labels, groups, strict=True)
    }
    summaries = [msgspec.structs.replace(central([*seeds[label].values()]), policy=label) for label in labels]
    complete = [all(each.complete for each in group) for group in groups]
    certainties = [_certainty(group) for group in groups]
    if len(infos) == 1:
        sentence = f"{_warning(complete[0])}{_one_run(summaries[0])}; {_bottleneck(summaries[0], summaries)}."
        headline = f"{summaries[0].policy}: {_figures(summaries[0])}"
        details = [*_interruptions(summaries, replicates), *certainties]
        return Verdict(headline, sentence, details, 0, labels[0], [0], tied=False, contested=False)
    order = contest(replicates, summaries, complete)
    best, others = summaries[order[0]], [summaries[i] for i in order[1:]]
    bounds = [s for s, info in zip(summaries, infos, strict=True) if info.upper_bound and s is not best]
    predictions = [s for s, is_one in zip(summaries, predicted(replicates), strict=True) if is_one]
    candidates = [s for s in summaries if s not in bounds and s not in predictions]
    tied = [best, *(s for s in others if equal(best, s))]
    baseline = None if _counts(best) else next((s for s in others if _counts(s)), None)
    details = _cautions(infos, summaries) + _interruptions(summaries, replicates)
    if baseline is not None:
        details.append(f"{best.policy} against {baseline.policy}: {_against(best, baseline, seeds)}.")
    details += [
        f"{best.policy} against {s.policy}, which knows true lengths: {_against(best, s, seeds)}." for s in bounds
    ]
    details += _first_fit_decreasing(best, others, seeds)
    details += _memory(candidates, tied)
    details += _out_of_memory(best, summaries)
    details += _foretold(predictions)
    details += [f"{s.policy}: {info.note}." for s, info in zip(summaries, infos, strict=True) if info.note]
    details += dict.fromkeys([certainties[order[0]], *certainties])
    lost = [s for s in candidates if s is not best]
    alone = "" if others else _alone(best, lost, bounds, predictions, whole=complete[order[0]])
    led = f"{alone}: {_figures(best)}" if alone else _sentence(best, others, tied, baseline, seeds)
    unmeasured = _unmeasured([infos[i] for i in order], [best, *others], [*tied, *others[:1], baseline])
    sentence = f"{_warning(complete[order[0]])}{led}{unmeasured}"
    rival = baseline or next(iter(others), None)
    lead = _lead_over(best, rival, seeds) if rival is not None else None
    headline = alone or _headline(best, others, tied, seeds)
    return Verdict(
        headline,
        f"{sentence}; {_bottleneck(best, candidates)}.",
        details,
        order[0],
        best.policy,
        order,
        tied=len(tied) > 1,
        contested=True,
        lead=lead,
    )


def _foretold(predictions: list[Summary]) -> list[str]:
    if not predictions:
        return []
    are, they = ("is", "it predicts") if len(predictions) == 1 else ("are", "they predict")
    return [f"{_listed([s.policy for s in predictions])} {are} out of the contest: what {they} was measured."]


def _unmeasured(infos: Sequence[RunInfo], summaries: Sequence[Summary], told: Sequence[Summary | None]) -> str:
    """Which of those that are told of are predictions, if they compete with measurements."""
    if len({info.kind for info in infos}) == 1:
        return ""
    names = [s.policy for s, info in zip(summaries, infos, strict=True) if s in told and info.kind == "simulated"]
    return f"; {_listed(names)} {'is a prediction' if len(names) == 1 else 'are predictions'}" if names else ""


def _warning(complete: bool) -> str:
    return "" if complete else "INCOMPLETE, it was interrupted: "


def _cautions(infos: Sequence[RunInfo], summaries: list[Summary]) -> list[str]:
    settings = [name for name, _ in differences(infos)]
    lines = [f"Caution: these runs differ in more than the policy: {', '.join(settings)}."] if settings else []
    return lines + [
        f"{s.policy} was DEGRADED: its requests came {info.machine.schedule_lag_p99_s * 1e3:.1f} ms late (p99)."
        for s, info in zip(summaries, infos, strict=True)
        if info.machine is not None and info.machine.degraded
    ]


def _interruptions(summaries: list[Summary], replicates: Sequence[Sequence[RunInfo]]) -> list[str]:
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
        names = _listed([f"seed {seed}" for seed in sorted(left_out)])
        lines.append(f"Left out, since not every policy came to its end there: {names}.")
    return lines


def _out_of_memory(best: Summary, summaries: list[Summary]) -> list[str]:
    verdict_on = "" if best.ooms else " and is out of the contest"
    return [f"{s.policy} ran out of memory in {s.ooms:,} steps{verdict_on}." for s in summaries if s.ooms]


def _counts(summary: Summary) -> bool:
    return summary.policy.startswith("count-")


def _sentence(best: Summary, others: list[Summary], tied: list[Summary], baseline: Summary | None, seeds: Seeds) -> str:
    runner_up = others[0]
    if len(tied) > 1:
        sentence = f"No difference between {_listed([s.policy for s in tied])}: {_figures(best)}"
    else:
        leads = "leads" if may_be_chance(deciding(best, runner_up), best, runner_up, seeds) else "wins"
        sentence = f"{best.policy} {leads}: {_lead(best, runner_up, seeds)} of the runner-up {runner_up.policy}"
        if leads == "leads":
            sentence += f", which {len(seeds[best.policy])} seeds cannot tell from it"
    if baseline is None or baseline is runner_up or baseline in tied:
        return sentence
    fits = "" if baseline.ooms else " that fits"
    return f"{sentence}, {_lead(best, baseline, seeds)} of {baseline.policy}, the best count{fits}"


def _alone(
    best: Summary, lost: list[Summary], bounds: list[Summary], predictions: list[Summary], *, whole: bool
) -> str:
    """What nobody else is that could have won."""
    if not lost:
        beside = [*(["upper bounds"] if bounds else []), *(["its own simulation"] if predictions else [])]
        return f"{best.policy} is compared with {_listed(beside)} alone"
    kind = "complete run" if whole else "run"
    return f"{best.policy} is the only {kind}{'' if best.ooms else ' without an out-of-memory step'}"


def _headline(best: Summary, others: list[Summary], tied: list[Summary], seeds: Seeds) -> str:
    if len(tied) > 1:
        return f"No difference between {_listed([s.policy for s in tied])}"
    figure, runner_up = deciding(best, others[0]), others[0]
    ahead = factor(figure, best, runner_up, seeds)
    leads = "leads" if may_be_chance(figure, best, runner_up, seeds) else "wins"
    if ahead is None:
        return f"{best.policy} {leads}, by its {figure.name}"
    better = f"{times(ahead)} {'shorter ' if figure.smaller_is_better else 'the '}{figure.name}"
    return f"{best.policy} {leads}: {better} {'than' if figure.smaller_is_better else 'of'} {runner_up.policy}"


def _lead(best: Summary, other: Summary, seeds: Seeds) -> str:
    """By the figure that decides, worded so that "of <somebody>" can follow."""
    return compared(deciding(best, other), best, other, seeds)


def _lead_over(best: Summary, other: Summary, seeds: Seeds) -> tuple[str, str, Estimate] | None:
    figure = deciding(best, other)
    ahead = factor(figure, best, other, seeds)
    return (other.policy, figure.name, ahead) if ahead is not None else None


def _against(best: Summary, other: Summary, seeds: Seeds) -> str:
    last = P99_E2E if min(best.finished, other.finished) >= ENOUGH_FOR_P99 else MEAN_E2E
    known = [each for each in (GOODPUT, THROUGHPUT, last) if None not in (each.of(best), each.of(other))]
    return ", ".join(compared(each, best, other, seeds) for each in known)


def _figures(summary: Summary) -> str:
    mean = f", mean E2E {three_digits(summary.e2e_s.mean)} s" if summary.e2e_s.mean is not None else ""
    goodput, throughput = three_digits(summary.goodput_req_s), three_digits(summary.total_tok_s)
    return f"goodput {goodput} requests/s, {throughput} tokens/s{mean}"


def _one_run(summary: Summary) -> str:
    ooms = f", {summary.ooms:,} out-of-memory steps" if summary.ooms else ""
    return f"{summary.policy} finished {summary.finished:,} of {summary.requests:,} requests: {_figures(summary)}{ooms}"


def _bottleneck(best: Summary, summaries: list[Summary]) -> str:
    aware = [s for s in summaries if not _counts(s)]
    if not aware:
        return "whether memory was the bottleneck no count policy can say, since none looks at it"
    if max(s.memory_bound_share for s in aware) < NEVER_TIGHT:
        return "memory was never the bottleneck"
    tight = best in aware and best.memory_bound_share >= NEVER_TIGHT
    asked = best if tight else max(aware, key=lambda s: s.memory_bound_share)
    return f"requests waited for memory {asked.memory_bound_share:.0%} of the time under {asked.policy}"


def _memory(summaries: list[Summary], tied: list[Summary]) -> list[str]:
    aware = [s for s in summaries if not _counts(s)]
    if not aware:
        return []
    if max(s.memory_bound_share for s in aware) < NEVER_TIGHT:
        return [
            f"{s.policy} loses by padding ({s.padding_waste:.0%} of what it computed) and by the batch barrier alone."
            for s in summaries
            if s.policy.startswith("count-static") and not s.ooms and s not in tied
        ]
    shares = _listed([f"{s.memory_bound_share:.0%} of the time under {s.policy}" for s in aware])
    return [f"Requests waited for memory {shares}."]


def _first_fit_decreasing(best: Summary, others: list[Summary], seeds: Seeds) -> list[str]:
    """What first-fit decreasing gained or lost against the best other policy that sees memory: said in either case."""
    contest = [s for s in (best, *others) if not _counts(s)]
    ffd = next((s for s in contest if s.policy.partition("(")[0].strip() == "ffd"), None)
    rival = next((s for s in contest if s is not ffd), None)
    if ffd is None or rival is None:
        return []
    if equal(ffd, rival):
        return [f"{ffd.policy} (first-fit decreasing) gains nothing over {rival.policy} here."]
    word = "against" if ffd is contest[0] else "(first-fit decreasing) loses to"
    return [f"{ffd.policy} {word} {rival.policy}: {_against(ffd, rival, seeds)}."]


def _certainty(group: Sequence[RunInfo]) -> str:
    info, seeds = group[0], len(group)
    how = "Simulated" if info.kind == "simulated" else "Measured"
    certain = (
        f"{seeds} seeds, intervals at 95 %, compared by geometric means"
        if seeds > 1
        else f"one seed ({info.seed}), so no interval"
    )
    return f"{how}: {info.scenario.step_time}; {certain}."


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
