"""The headline and the sentences of a verdict. Plain text only."""

from collections.abc import Sequence

from ..numbers import listed, three_digits
from .contender import Contender
from .contest import Standings
from .factor import compared_by_merit, factor, may_be_chance, times
from .figure import deciding
from .remarks import bottleneck, oom_steps

_REMEDIES = {
    "trace": ["--trace", "--arrivals", "--seed"],
    "model": ["--model"],
    "device": ["--device"],
    "memory": ["--vram", "--kv-budget-tokens", "--kv-blocks"],
    "limits": ["--max-seqs", "--step-tokens", "--max-wait"],
    "SLO": ["--slo"],
}


def of_differing_runs(settings: Sequence[str]) -> tuple[str, str]:
    """Headline and text if the runs cannot be compared, because they differ in these settings."""
    options = listed([option for name in settings for option in _REMEDIES[name]])
    headline = f"Not comparable: the runs differ in {listed(settings)}"
    return headline, f"{headline}. Run every policy with the same {options}, or make a report for each run."


def of_no_result(ranked: Sequence[Contender]) -> tuple[str, str]:
    """Headline and text if no run finished a request."""
    fates = dict.fromkeys(
        f"{count:,} of {each.summary.requests:,} requests {name}"
        for each in ranked
        for name in ("rejected", "failed", "aborted")
        if (count := getattr(each.summary, name))
    )
    headline = f"Nothing finished: {listed([*fates] or ['no request was run'])}"
    why = (
        "A request is rejected if it can never fit into memory or into the model's context, or if it would wait too "
        "long."
    )
    return headline, f"{headline}. {why}"


def of_one_run(only: Contender) -> tuple[str, str]:
    """Headline and text for a single run."""
    s = only.summary
    finished = f"{only.label} finished {s.finished:,} of {s.requests:,} requests: {_figures(only)}."
    headline = f"{only.label}: {_figures(only)}" + (f"; it ran out of memory {oom_steps(only)}" if s.ooms else "")
    return headline, _joined(_warning(only), finished, _ran_out(only), bottleneck(only, [only]))


def headline_of(found: Standings) -> str:
    """Who wins and by how much, in a few words."""
    best = found.best
    text = _alone(found) or _contested_headline(found)
    if not best.summary.ooms:
        return text
    return f"{text}; {'all runs' if _all_ran_out(found) else 'it'} ran out of memory"


def text_of(found: Standings) -> str:
    """The same in sentences, with the best count policy, and whether memory was the bottleneck."""
    best = found.best
    alone = _alone(found)
    return _joined(
        _warning(best),
        f"{alone}: {_figures(best)}." if alone else _contested_text(found),
        _out_of_memory(found),
        _predictions(found),
        bottleneck(best, found.candidates),
    )


def _contested_headline(found: Standings) -> str:
    best, second = found.best, found.others[0]
    if len(found.tied) > 1:
        return _tie(found)
    figure = deciding(best.summary, second.summary)
    verb = "leads" if may_be_chance(figure, best, second) else "wins"
    ahead = factor(figure, best, second)
    if ahead is None:
        return f"{best.label} {verb}, by its {figure.name}"
    return f"{best.label} {verb}: {times(ahead)} the {figure.name} of {second.label}"


def _contested_text(found: Standings) -> str:
    best, second, baseline = found.best, found.others[0], found.baseline
    if len(found.tied) > 1:
        text = f"{_tie(found)}: {_figures(best)}."
    else:
        is_chance = may_be_chance(deciding(best.summary, second.summary), best, second)
        text = f"{best.label} {'leads' if is_chance else 'wins'}."
        text += f" Against the runner-up {second.label}: {compared_by_merit(best, second)}."
        if is_chance:
            text += f" The {len(best.by_seed)} seeds cannot tell the two apart."
    if baseline is None or baseline is second or baseline in found.tied:
        return text
    return f"{text} Against {baseline.label}, {_best_count(found, baseline)}: {compared_by_merit(best, baseline)}."


def _best_count(found: Standings, baseline: Contender) -> str:
    if baseline not in found.others:
        return f"the best count on seed {min(baseline.by_seed)} (it ran out of memory {oom_steps(baseline)})"
    return "the best count" if found.best.summary.ooms else "the best count that fits"


def _tie(found: Standings) -> str:
    return f"No difference between {listed([each.label for each in found.tied])}"


def _alone(found: Standings) -> str:
    """Why the best has no competitor; empty if it has one."""
    best = found.best
    if found.others:
        return ""
    if all(each is best for each in found.candidates):
        beside = [*(["upper bounds"] if found.bounds else []), *(["its own simulation"] if found.repeats else [])]
        return f"{best.label} is compared only with {listed(beside)}"
    kind = "complete run" if best.complete else "run"
    return f"{best.label} is the only {kind}{'' if best.summary.ooms else ' without an out-of-memory step'}"


def _predictions(found: Standings) -> str:
    """Which of the policies that the text names are only predictions, if others were measured."""
    if len({each.info.kind for each in found.ranked}) == 1:
        return ""
    named = [*found.tied, *found.others[:1], found.baseline]
    labels = [each.label for each in found.ranked if each in named and each.info.kind == "simulated"]
    if not labels:
        return ""
    return f"{listed(labels)} {'is a prediction' if len(labels) == 1 else 'are predictions'}, not a measurement."


def _out_of_memory(found: Standings) -> str:
    if not _all_ran_out(found):
        return _ran_out(found.best)
    each = listed([f"{each.label} {oom_steps(each)}" for each in found.candidates])
    return f"All runs ran out of memory: {each}."


def _all_ran_out(found: Standings) -> bool:
    return bool(found.best.summary.ooms) and all(each.summary.ooms for each in found.candidates)


def _ran_out(contender: Contender) -> str:
    return f"It ran out of memory {oom_steps(contender)}." if contender.summary.ooms else ""


def _figures(contender: Contender) -> str:
    s = contender.summary
    mean = f", mean E2E {three_digits(s.e2e_s.mean)} s" if s.e2e_s.mean is not None else ""
    return f"goodput {three_digits(s.goodput_req_s)} requests/s, {three_digits(s.total_tok_s)} tokens/s{mean}"


def _warning(contender: Contender) -> str:
    return "" if contender.complete else "INCOMPLETE: this run was interrupted."


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))
