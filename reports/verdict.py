"""Who wins, by how much, against what, and whether memory had anything to do with it. Plain text only."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from ..metrics import Summary, close, equal, order_by_merit
from ..records import RunInfo
from .differences import differences
from .numbers import three_digits

NEVER_TIGHT = 0.01
"""Below this share of time in which memory kept somebody waiting, memory was not the bottleneck."""
LARGEST_FACTOR = 10.0
"""Above this a ratio says more about a figure near zero than about the winner: only the values are given."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a comparison came to.

    Attributes:
        sentence: who wins, by how much, and whether memory was the bottleneck.
        details: what else has to be known, losses included.
        winner: position of the winning run.
        tied: another run cannot be told apart from the winner.
        contested: there was more than one run.
    """

    sentence: str
    details: list[str]
    winner: int
    tied: bool
    contested: bool


def summary_of(info: RunInfo) -> Summary:
    """The run's summary, typed."""
    return msgspec.convert(info.summary, Summary)


def labels_of(infos: Sequence[RunInfo]) -> list[str]:
    """The policies as they are shown, made different for each run: by kind, or else by a number."""
    labels = [info.label for info in infos]
    if len(set(labels)) < len(labels):
        labels = [f"{info.label} {info.kind}" for info in infos]
    if len(set(labels)) < len(labels):
        labels = [f"{label} #{number}" for number, label in enumerate(labels, 1)]
    return labels


def labelled_summaries(infos: Sequence[RunInfo]) -> list[Summary]:
    """The summaries, with `policy` made different for each."""
    labels = labels_of(infos)
    return [msgspec.structs.replace(summary_of(info), policy=label) for info, label in zip(infos, labels, strict=True)]


def verdict(infos: Sequence[RunInfo]) -> Verdict:
    """Judge runs of the same requests. A run with out-of-memory steps, or an incomplete one, only wins among such."""
    summaries = labelled_summaries(infos)
    if len(infos) == 1:
        sentence = f"{_warning(infos[0])}{_one_run(summaries[0])}; {_bottleneck(summaries[0], summaries)}."
        return Verdict(sentence, [_certainty(infos[0])], 0, tied=False, contested=False)
    order = _order(infos, summaries)
    best, others = summaries[order[0]], [summaries[i] for i in order[1:]]
    bounds = [s for s, info in zip(summaries, infos, strict=True) if info.upper_bound and s is not best]
    real = [s for s in summaries if s not in bounds]
    tied = [best, *(s for s in others if equal(best, s))]
    baseline = None if _counts(best) else next((s for s in others if _counts(s)), None)
    details = _cautions(infos, summaries)
    if baseline is not None:
        details.append(f"{best.policy} against {baseline.policy}: {_against(best, baseline)}.")
    details += [f"{best.policy} against {s.policy}, which knows true lengths: {_against(best, s)}." for s in bounds]
    details += _first_fit_decreasing(best, others)
    details += _memory(real, tied)
    details += _out_of_memory(best, summaries)
    details += [f"{s.policy}: {info.note}." for s, info in zip(summaries, infos, strict=True) if info.note]
    details += dict.fromkeys(_certainty(info) for info in (infos[order[0]], *infos))
    sentence = f"{_warning(infos[order[0]])}{_sentence(best, others, tied, baseline)}; {_bottleneck(best, real)}."
    return Verdict(sentence, details, order[0], tied=len(tied) > 1, contested=True)


def _order(infos: Sequence[RunInfo], summaries: list[Summary]) -> list[int]:
    """Positions of those in the contest, best first. Upper bounds are only among themselves."""
    everybody = [i for i, info in enumerate(infos) if not info.upper_bound] or list(range(len(infos)))
    complete = [i for i in everybody if infos[i].complete] or everybody
    contest = [i for i in complete if not summaries[i].ooms] or complete
    return [contest[i] for i in order_by_merit([summaries[i] for i in contest])]


def _warning(info: RunInfo) -> str:
    return "" if info.complete else "INCOMPLETE, it was interrupted: "


def _cautions(infos: Sequence[RunInfo], summaries: list[Summary]) -> list[str]:
    settings = [name for name, _ in differences(infos)]
    lines = [f"Caution: these runs differ in more than the policy: {', '.join(settings)}."] if settings else []
    return (
        lines
        + [
            f"{s.policy} is INCOMPLETE: it was interrupted."
            for s, info in zip(summaries, infos, strict=True)
            if not info.complete
        ]
        + [
            f"{s.policy} was DEGRADED: its requests came {info.machine.schedule_lag_p99_s * 1e3:.1f} ms late (p99)."
            for s, info in zip(summaries, infos, strict=True)
            if info.machine is not None and info.machine.degraded
        ]
    )


def _out_of_memory(best: Summary, summaries: list[Summary]) -> list[str]:
    verdict_on = "" if best.ooms else " and is out of the contest"
    return [f"{s.policy} ran out of memory in {s.ooms:,} steps{verdict_on}." for s in summaries if s.ooms]


def _counts(summary: Summary) -> bool:
    return summary.policy.startswith("count-")


def _sentence(best: Summary, others: list[Summary], tied: list[Summary], baseline: Summary | None) -> str:
    if not others:
        return f"{best.policy} is the only complete run without an out-of-memory step: {_figures(best)}"
    if len(tied) > 1:
        sentence = f"No difference between {_listed([s.policy for s in tied])}: {_figures(best)}"
    else:
        sentence = f"{best.policy} wins: {_lead(best, others[0])} of the runner-up {others[0].policy}"
    if baseline is None or baseline is others[0] or baseline in tied:
        return sentence
    return f"{sentence}, {_lead(best, baseline)} of {baseline.policy}, the best count that fits"


def _lead(best: Summary, other: Summary) -> str:
    """The first figure that tells the two apart, worded so that "of <somebody>" can follow."""
    if not close(best.goodput_req_s, other.goodput_req_s):
        return _compared("goodput", best.goodput_req_s, other.goodput_req_s, "requests/s")
    if not close(best.total_tok_s, other.total_tok_s):
        return _compared("throughput", best.total_tok_s, other.total_tok_s, "tokens/s")
    return _compared("mean E2E", best.e2e_s.mean or 0, other.e2e_s.mean or 0, "s", smaller_is_better=True)


def _against(best: Summary, other: Summary) -> str:
    parts = [
        _compared("goodput", best.goodput_req_s, other.goodput_req_s, "requests/s"),
        _compared("throughput", best.total_tok_s, other.total_tok_s, "tokens/s"),
    ]
    if best.e2e_s.p99 is not None and other.e2e_s.p99 is not None:
        parts.append(_compared("p99 E2E", best.e2e_s.p99, other.e2e_s.p99, "s", smaller_is_better=True))
    return ", ".join(parts)


def _compared(name: str, mine: float, other: float, unit: str, *, smaller_is_better: bool = False) -> str:
    """Both values, and their ratio unless it would only say that one of them is near zero."""
    low, high = sorted((mine, other))
    factor = ""
    if low > 0 and high / low <= LARGEST_FACTOR:
        factor = f" ({(other / mine if smaller_is_better else mine / other):.2f}x)"
    return f"{name} {three_digits(mine)} against {three_digits(other)} {unit}{factor}"


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
    asked = best if best in aware else max(aware, key=lambda s: s.memory_bound_share)
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


def _first_fit_decreasing(best: Summary, others: list[Summary]) -> list[str]:
    """What first-fit decreasing gained or lost against the best other policy that sees memory: said in either case."""
    contest = [s for s in (best, *others) if not _counts(s)]
    ffd = next((s for s in contest if s.policy.partition("(")[0].strip() == "ffd"), None)
    rival = next((s for s in contest if s is not ffd), None)
    if ffd is None or rival is None:
        return []
    if equal(ffd, rival):
        return [f"{ffd.policy} (first-fit decreasing) gains nothing over {rival.policy} here."]
    word = "against" if ffd is best else "(first-fit decreasing) loses to"
    return [f"{ffd.policy} {word} {rival.policy}: {_against(ffd, rival)}."]


def _certainty(info: RunInfo) -> str:
    how = "Simulated" if info.kind == "simulated" else "Measured"
    return f"{how}: {info.scenario.step_time}; one seed ({info.seed}), so no interval."


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
