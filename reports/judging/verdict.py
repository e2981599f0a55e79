"""Who wins, by how much, against what, and whether memory had anything to do with it. Plain text only."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from ...records import RunInfo
from ...records.metrics import Summary, equal, order_by_merit
from ..numbers import listed, three_digits
from . import remarks
from .contest import contest, on_common_seeds, predicted, unlike
from .factor import Figure, Seeds, against, central, compared, deciding, factor, may_be_chance, times
from .paired import SeedMean
from .remarks import bottleneck, is_count, oom_steps

_REMEDIES = {
    "trace": ["--trace", "--arrivals", "--seed"],
    "model": ["--model"],
    "device": ["--device"],
    "memory": ["--vram", "--kv-budget-tokens", "--kv-blocks"],
    "limits": ["--max-seqs", "--step-tokens", "--max-wait"],
    "SLO": ["--slo"],
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a comparison came to.

    Attributes:
        headline: who wins, and by how much, in a few words.
        sentence: the same against whom it matters, and whether memory was the bottleneck.
        details: what else has to be known, losses included.
        winner: position of the winning run; None where runs cannot be compared, or nothing finished.
        name: what it is called.
        ranking: positions of all runs in the contest, best first if there is a winner.
        tied: another run cannot be told apart from the winner.
        contested: there was more than one run.
        lead: the winner's lead over the baseline, or else over the runner-up: over which, in what, and how many times.
    """

    headline: str
    sentence: str
    details: list[str]
    winner: int | None
    name: str
    ranking: list[int]
    tied: bool
    contested: bool
    lead: tuple[str, Figure, SeedMean] | None = None


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
    certainties = [remarks.certainty(group) for group in groups]
    troubles = remarks.interruptions(summaries, replicates) + remarks.rejections(summaries, seeds)
    order = contest(replicates, summaries, complete)
    if refusal := _refusal(replicates, [summaries[i] for i in order]):
        details = remarks.cautions(infos, summaries) + troubles
        details += [*remarks.out_of_memory(summaries, seeds, decides=False), *dict.fromkeys(certainties)]
        return Verdict(*refusal, details, None, "", sorted(order), tied=False, contested=len(infos) > 1)
    if len(infos) == 1:
        headline, sentence = _one_run(summaries[0], seeds, whole=complete[0])
        return Verdict(headline, sentence, troubles + certainties, 0, labels[0], [0], tied=False, contested=False)
    best, others = summaries[order[0]], [summaries[i] for i in order[1:]]
    bounds = [s for s, info in zip(summaries, infos, strict=True) if info.upper_bound and s is not best]
    predictions = [
        pair for pair, is_one in zip(zip(summaries, infos, strict=True), predicted(replicates), strict=True) if is_one
    ]
    apart = [*bounds, *(s for s, _ in predictions)]
    candidates = [s for s in summaries if s not in apart]
    tied = [best, *(s for s in others if equal(best, s))]
    baseline = None if is_count(best) else _best_count(others, [s for s in candidates if s not in others], seeds)
    details = remarks.cautions(infos, summaries) + troubles
    if baseline is not None:
        details.append(f"{best.policy} against {baseline.policy}: {against(best, baseline, seeds)}.")
    details += [
        f"{best.policy} against {s.policy}, which knows true lengths: {against(best, s, seeds)}." for s in bounds
    ]
    details += remarks.first_fit_decreasing(best, others, seeds)
    details += remarks.waits(candidates, tied)
    details += remarks.out_of_memory(summaries, seeds, decides=not best.ooms)
    details += remarks.foretold(predictions)
    details += remarks.searches(summaries, replicates)
    details += [remarks.FACTORS] if others or bounds else []
    details += dict.fromkeys([certainties[order[0]], *certainties])
    lost = [s for s in candidates if s is not best]
    alone = "" if others else _alone(best, lost, bounds, [s for s, _ in predictions], whole=complete[order[0]])
    led = f"{alone}: {_figures(best)}" if alone else _sentence(best, others, tied, baseline, seeds)
    led += _all_ran_out(best, candidates, seeds)
    unmeasured = _unmeasured([infos[i] for i in order], [best, *others], [*tied, *others[:1], baseline])
    rival = baseline if baseline in others else next(iter(others), None)
    headline = alone or _headline(best, others, tied, seeds)
    who = "all runs" if all(s.ooms for s in candidates) else "it"
    return Verdict(
        f"{headline}; {who} ran out of memory" if best.ooms else headline,
        f"{_warning(complete[order[0]])}{led}{unmeasured}; {bottleneck(best, candidates)}.",
        details,
        order[0],
        best.policy,
        order,
        tied=len(tied) > 1,
        contested=True,
        lead=_lead_over(best, rival, seeds) if rival is not None else None,
    )


def _refusal(replicates: Sequence[Sequence[RunInfo]], entrants: list[Summary]) -> tuple[str, str] | None:
    """Headline and sentence if there is no winner: why, and what to do about it."""
    if different := unlike(replicates):
        asked = listed([option for name in different for option in _REMEDIES[name]])
        headline = f"Not comparable: the runs differ in {listed(different)}"
        return headline, f"{headline}. Run every policy with the same {asked}, or report on each alone."
    if any(s.finished for s in entrants):
        return None
    fates = dict.fromkeys(
        f"{count:,} of {s.requests:,} requests {name}"
        for s in entrants
        for name in ("rejected", "failed", "aborted")
        if (count := getattr(s, name))
    )
    headline = f"Nothing finished: {listed([*fates] or ['no request was run'])}"
    why = "Requests are rejected that can never fit into memory or the model's context, or would wait for too long."
    return headline, f"{headline}. {why}"


def _one_run(run: Summary, seeds: Seeds, *, whole: bool) -> tuple[str, str]:
    """Headline and sentence."""
    figures = _figures(run) + _ran_out(run, seeds)
    finished = f"{_warning(whole)}{run.policy} finished {run.finished:,} of {run.requests:,} requests"
    return f"{run.policy}: {figures}", f"{finished}: {figures}; {bottleneck(run, [run])}."


def _best_count(others: list[Summary], out: list[Summary], seeds: Seeds) -> Summary | None:
    """Of those in the contest; or one better than that which is out though it fits on its first seed, on which it was
    searched: beside it a lead over the next best would be one over a straw man.
    """
    fits = next((s for s in others if is_count(s)), None)
    nearly = [s for s in out if is_count(s) and s.ooms and not seeds[s.policy][min(seeds[s.policy])].ooms]
    counts = [*([fits] if fits else []), *nearly]
    return counts[order_by_merit(counts)[0]] if counts else None


def _unmeasured(infos: Sequence[RunInfo], summaries: Sequence[Summary], told: Sequence[Summary | None]) -> str:
    """Which of those that are told of are predictions, if they compete with measurements."""
    if len({info.kind for info in infos}) == 1:
        return ""
    names = [s.policy for s, info in zip(summaries, infos, strict=True) if s in told and info.kind == "simulated"]
    return f"; {listed(names)} {'is a prediction' if len(names) == 1 else 'are predictions'}" if names else ""


def _ran_out(summary: Summary, seeds: Seeds) -> str:
    return f"; it ran out of memory {oom_steps(summary, seeds)}" if summary.ooms else ""


def _all_ran_out(best: Summary, candidates: list[Summary], seeds: Seeds) -> str:
    """Of the winner that did so too."""
    if not best.ooms or not all(s.ooms for s in candidates):
        return _ran_out(best, seeds)
    each = listed([f"{s.policy} {oom_steps(s, seeds)}" for s in candidates])
    return f"; all runs ran out of memory: {each}"


def _sentence(best: Summary, others: list[Summary], tied: list[Summary], baseline: Summary | None, seeds: Seeds) -> str:
    runner_up = others[0]
    if len(tied) > 1:
        sentence = f"No difference between {listed([s.policy for s in tied])}: {_figures(best)}"
    else:
        leads = "leads" if may_be_chance(deciding(best, runner_up), best, runner_up, seeds) else "wins"
        sentence = f"{best.policy} {leads}: {_lead(best, runner_up, seeds)} of the runner-up {runner_up.policy}"
        if leads == "leads":
            sentence += f", which {len(seeds[best.policy])} seeds cannot tell from it"
    if baseline is None or baseline is runner_up or baseline in tied:
        return sentence
    fits = "" if best.ooms else " that fits"
    if baseline not in others:
        fits = f" on seed {min(seeds[baseline.policy])}, which ran out of memory {oom_steps(baseline, seeds)}"
    return f"{sentence}, {_lead(best, baseline, seeds)} of {baseline.policy}, the best count{fits}"


def _alone(
    best: Summary, lost: list[Summary], bounds: list[Summary], predictions: list[Summary], *, whole: bool
) -> str:
    """What nobody else is that could have won."""
    if not lost:
        beside = [*(["upper bounds"] if bounds else []), *(["its own simulation"] if predictions else [])]
        return f"{best.policy} is compared with {listed(beside)} alone"
    kind = "complete run" if whole else "run"
    return f"{best.policy} is the only {kind}{'' if best.ooms else ' without an out-of-memory step'}"


def _headline(best: Summary, others: list[Summary], tied: list[Summary], seeds: Seeds) -> str:
    if len(tied) > 1:
        return f"No difference between {listed([s.policy for s in tied])}"
    figure, runner_up = deciding(best, others[0]), others[0]
    ahead = factor(figure, best, runner_up, seeds)
    leads = "leads" if may_be_chance(figure, best, runner_up, seeds) else "wins"
    if ahead is None:
        return f"{best.policy} {leads}, by its {figure.name}"
    return f"{best.policy} {leads}: {times(ahead)} the {figure.name} of {runner_up.policy}"


def _lead(best: Summary, other: Summary, seeds: Seeds) -> str:
    """By the figure that decides, worded so that "of <somebody>" can follow."""
    return compared(_decides(best, other), best, other, seeds)


def _lead_over(best: Summary, other: Summary, seeds: Seeds) -> tuple[str, Figure, SeedMean] | None:
    figure = _decides(best, other)
    ahead = factor(figure, best, other, seeds)
    return (other.policy, figure, ahead) if ahead is not None else None


def _decides(best: Summary, other: Summary) -> Figure:
    """Also where the other, out of the contest, is ahead."""
    return deciding(best, other) if order_by_merit([best, other])[0] == 0 else deciding(other, best)


def _figures(summary: Summary) -> str:
    mean = f", mean E2E {three_digits(summary.e2e_s.mean)} s" if summary.e2e_s.mean is not None else ""
    goodput, throughput = three_digits(summary.goodput_req_s), three_digits(summary.total_tok_s)
    return f"goodput {goodput} requests/s, {throughput} tokens/s{mean}"


def _warning(complete: bool) -> str:
    return "" if complete else "INCOMPLETE, it was interrupted: "
