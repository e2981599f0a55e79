"""The difference of every policy from the best count policy, seed by seed, with intervals."""

from collections.abc import Callable, Sequence

from ...records import RunInfo
from ...records.merit import order_by_merit
from ...records.metrics import Summary, averaged, summary_of
from ..judging.contender import labels_of
from ..judging.paired import SeedMean, difference, mean, ratio
from ..judging.study import Study
from ..judging.table import Cell, ReportTable
from ..numbers import ENOUGH_FOR_P99, three_digits

_NOTHING = Cell("-", float("inf"))

_Pairs = list[tuple[Summary, Summary]]
"""The run of a policy and that of the baseline on the same requests, one pair per seed."""


def paired_table(study: Study, best: int | None) -> ReportTable | None:
    """One row per policy, compared with the baseline seed by seed; None if there is only one seed.

    The baseline is the best count policy that ran out of memory on no seed. If there is none, it is the first count
    policy, or else the first run.

    Args:
        best: position of the winning run, if there is one.
    """
    if max(map(len, study.replicates), default=0) < 2:
        return None
    baseline = _baseline(study.replicates)
    labels = labels_of([run.info for run in study.runs])
    rows = []
    for i, (label, group) in enumerate(zip(labels, study.replicates, strict=True)):
        marks = (" (best)" if i == best else "") + (" (baseline)" if i == baseline else "")
        pairs = _pairs(group, study.replicates[baseline])
        rows.append([Cell(label + marks, i), *_against(pairs), *_troubles(group), Cell(str(len(pairs)), len(pairs))])
    return ReportTable(_heads(labels[baseline]), rows)


def _heads(baseline: str) -> list[tuple[str, str]]:
    how = "arithmetic mean over the seeds and its 95 % interval"
    over = f"divided by that of {baseline} on the same requests: geometric mean over the seeds and its 95 % interval"
    return [
        ("policy", "the rule that chose the batches"),
        ("throughput, ratio", f"tokens/s {over}; above 1 is better"),
        ("goodput, difference", f"requests/s that kept the SLO, minus that of {baseline} on the same requests: {how}"),
        ("mean E2E, ratio", f"mean end-to-end latency {over}; below 1 is better"),
        ("p99 E2E, ratio", f"99th percentile of end-to-end latency {over}; below 1 is better"),
        ("OOMs", "steps that ran out of memory, over all seeds"),
        ("preempted", f"how often a running request was evicted: {how}"),
        ("seeds", f"seeds that both this policy and {baseline} completed"),
    ]


def _baseline(replicates: Sequence[Sequence[RunInfo]]) -> int:
    counts = [i for i, group in enumerate(replicates) if group[0].counts_requests]
    summaries = {i: averaged([summary_of(info) for info in replicates[i]]) for i in counts}
    safe = [i for i in counts if not summaries[i].ooms and all(info.complete for info in replicates[i])]
    if safe:
        return safe[order_by_merit([summaries[i] for i in safe])[0]]
    return next(iter(counts), 0)


def _pairs(mine: Sequence[RunInfo], other: Sequence[RunInfo]) -> _Pairs:
    """The pairs of the seeds that both completed."""
    theirs = {(info.seed, info.scenario.trace.content_hash): info for info in other if info.complete}
    both = ((info, theirs.get((info.seed, info.scenario.trace.content_hash))) for info in mine if info.complete)
    return [(summary_of(a), summary_of(b)) for a, b in both if b is not None]


def _against(pairs: _Pairs) -> list[Cell]:
    return [
        _ratio(pairs, lambda s: s.total_tok_s),
        _difference(pairs, lambda s: s.goodput_req_s),
        _ratio(pairs, lambda s: s.e2e_s.mean),
        _p99(pairs),
    ]


def _p99(pairs: _Pairs) -> Cell:
    few = min((s.finished for pair in pairs for s in pair), default=ENOUGH_FOR_P99)
    if few < ENOUGH_FOR_P99:
        return Cell(f"withheld: {few:,} of {ENOUGH_FOR_P99}", float("inf"))
    return _ratio(pairs, lambda s: s.e2e_s.p99)


def _difference(pairs: _Pairs, figure: Callable[[Summary], float]) -> Cell:
    mine, other = ([figure(pair[side]) for pair in pairs] for side in (0, 1))
    return _cell(difference(mine, other), _signed) if pairs else _NOTHING


def _ratio(pairs: _Pairs, figure: Callable[[Summary], float | None]) -> Cell:
    mine, other = ([figure(pair[side]) or 0.0 for pair in pairs] for side in (0, 1))
    return _cell(ratio(mine, other), three_digits) if min([*mine, *other], default=0) > 0 else _NOTHING


def _troubles(group: Sequence[RunInfo]) -> list[Cell]:
    """Out-of-memory steps and preemptions."""
    summaries = [summary_of(info) for info in group]
    ooms = sum(s.ooms for s in summaries)
    where = f" on {sum(s.ooms > 0 for s in summaries)} of {len(summaries)} seeds" if ooms else ""
    return [Cell(f"{ooms:,}{where}", ooms), _cell(mean([s.preemptions for s in summaries]), _times)]


def _cell(estimate: SeedMean, written: Callable[[float], str]) -> Cell:
    """The mean with its interval; without it if it has no width, as for the baseline itself."""
    text = written(estimate.value)
    if estimate.low is not None and estimate.high is not None and estimate.low < estimate.high:
        text += f" [{written(estimate.low)}, {written(estimate.high)}]"
    return Cell(text, estimate.value)


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + three_digits(value)


def _times(value: float) -> str:
    """A number of times. The end of an interval may be below 0, a number of times is not."""
    return three_digits(value) if value > 0 else "0"
