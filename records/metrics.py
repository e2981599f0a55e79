"""Every number that WarpGroup reports, computed here and nowhere else, for simulated and real runs alike."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from ..csrc import EVENTS, STATUSES, STEP_EVENTS
from .run import BLOCKED_BY, Run

Array = np.ndarray[Any, Any]

TIE = 0.02
"""Figures closer than this share of the larger one tell no two policies apart."""

ENOUGH_IN_TIME = 0.05
"""Share of the requests that must keep the SLO if goodput is to decide. Where far more is asked than can be done, only
those keep it that came before the queue was long: three of 20,000 here and one there, which is no merit of a policy."""

FEWEST_IN_TIME = 10
"""So many requests at least must keep the SLO for that: one of six here and none there is no merit either."""

GLOSSARY = {
    "TTFT": "time to first token: first_token - arrival. Queueing is inside.",
    "TPOT": "time per output token: (E2E - TTFT) / (n - 1) for n >= 2 output tokens.",
    "ITL": "inter-token latency: every gap between two consecutive tokens of a request, pooled over requests. "
    "Gaps inside a macro-step count as equal.",
    "E2E": "end-to-end latency: finish - arrival.",
    "wait": "first admission - arrival.",
    "makespan": "last finish - first arrival.",
    "throughput": "prompt and output tokens of finished requests / makespan.",
    "goodput": "finished requests that keep the SLO / makespan. A request with one output token has no TPOT and "
    "only its TTFT counts.",
    "geometric mean": "of a figure over seeds: the n-th root of the product of its n values. So that the ratio of two "
    "means is the mean of the ratios, whichever way round. A factor is the first figure over the second: above 1 is "
    "better for goodput and throughput, below 1 for latencies. Where a value is 0 the mean is arithmetic, and there is "
    "no factor.",
    "attainment": "finished requests that keep the SLO / all requests, rejected and failed ones too.",
    "OOM": "steps whose memory was not there. They have no effect; simulated, one costs what a step without work "
    "costs, since the allocation fails before anything is computed.",
    "preemptions": "times a running request lost its place: its KV cache was dropped, or swapped to host memory.",
    "recompute tax": "(tokens computed - tokens needed) / tokens needed, padding left out; a request needs "
    "prompt + output - 1.",
    "peak VRAM": "most bytes in use in any step: weights, context, activations and KV cache.",
    "mean KV use": "time mean of KV bytes held / KV pool bytes. A padded batch may exceed 1: it can take what "
    "other policies keep free for the activations of large steps.",
    "padding waste": "positions computed that belong to no request / all positions computed: prompts padded to the "
    "longest, and rows that finished before their batch.",
    "memory-bound share": "share of the makespan in which a request waited and memory was what kept it out.",
}


class Spread(msgspec.Struct, frozen=True):
    """A distribution in four numbers, in seconds; None where there is no sample."""

    mean: float | None
    p50: float | None
    p90: float | None
    p99: float | None


class Summary(msgspec.Struct, frozen=True):
    """A run in one object: what `--json` prints and `run.json` holds. Formulas: `GLOSSARY`."""

    policy: str
    requests: int
    finished: int
    rejected: int
    failed: int
    aborted: int
    makespan_s: float
    total_tok_s: float
    output_tok_s: float
    goodput_req_s: float
    ttft_s: Spread
    tpot_s: Spread
    e2e_s: Spread
    itl_s: Spread
    wait_s: Spread
    slo: str
    ooms: int
    preemptions: int
    recompute_tax: float
    peak_vram_bytes: int
    vram_budget_bytes: int
    mean_kv_use: float
    padding_waste: float
    memory_bound_share: float
    running_mean: float
    running_max: int
    attainment: float = -1.0

    def __post_init__(self) -> None:
        if self.attainment < 0:  # a record of a version that did not keep it
            kept = self.goodput_req_s * self.makespan_s
            msgspec.structs.force_setattr(self, "attainment", _ratio(kept, self.requests))


def finished_mask(run: Run) -> Array:
    """Which requests finished."""
    return np.asarray(run.requests["status"] == STATUSES.index("finished"))


def ttft_s(run: Run) -> Array:
    """TTFT of every finished request, in seconds."""
    r, done = run.requests, finished_mask(run)
    return np.asarray((r["first_token_ns"] - r["arrival_ns"])[done] / 1e9)


def e2e_s(run: Run) -> Array:
    """E2E of every finished request, in seconds."""
    r, done = run.requests, finished_mask(run)
    return np.asarray((r["finish_ns"] - r["arrival_ns"])[done] / 1e9)


def tpot_s(run: Run) -> Array:
    """TPOT of every finished request, in seconds; NaN for those of one output token."""
    r, done = run.requests, finished_mask(run)
    gaps = (r["output_tokens"] - 1)[done]
    decoding = (r["finish_ns"] - r["first_token_ns"])[done] / 1e9
    return np.asarray(np.divide(decoding, gaps, out=np.full(len(gaps), np.nan), where=gaps > 0))


def itl_s(run: Run) -> tuple[Array, Array]:
    """Gaps between tokens, in seconds, and how often each occurred.

    Every request that decodes in a step has one gap of that step's duration; if steps without decoding came before,
    as under policies that prefill in steps of their own, those who decoded before them waited that much longer. An
    eviction adds one gap, from the last token before it to the first one after.
    """
    steps = run.steps
    ran = (steps["steps"] > 0) & (steps["decode_rows"] > 0)
    count = steps["steps"][ran]
    # Only static batches pad, and their steps either prefill or decode: here padding is rows that ended.
    ended_rows = np.where(steps["prefill_tokens"][ran] == 0, steps["padding_tokens"][ran] // np.maximum(count, 1), 0)
    rows = steps["decode_rows"][ran] - ended_rows
    gaps = steps["duration_ns"][ran] / np.maximum(count, 1) / 1e9
    paused, late = _pauses_s(run, ran)
    late = np.minimum(late, rows)
    interruptions = _interruptions_s(run)
    values = [gaps, gaps + paused, interruptions]
    weights = [rows * count - late, late, np.ones(len(interruptions), np.int64)]
    return np.concatenate(values), np.concatenate(weights)


def _pauses_s(run: Run, decoded: Array) -> tuple[Array, Array]:
    """For each row of steps that decodes: the time of those directly before it that do not, and how many requests
    waited through it.
    """
    steps = run.steps
    elsewhere = np.cumsum(np.where(decoded, 0, steps["duration_ns"]))[decoded]
    rows_before = np.concatenate([[0], steps["paused_rows"]])[:-1][decoded]
    return np.diff(elsewhere, prepend=elsewhere[:1]) / 1e9, rows_before


def _interruptions_s(run: Run) -> Array:
    events, first_token_ns = run.events, run.requests["first_token_ns"]
    since: dict[int, int] = {}
    gaps = []
    evictions = {EVENTS.index("preempt"), EVENTS.index("swap-out")}
    for t_ns, request, event in zip(*(events[name].tolist() for name in ("t_ns", "request", "event")), strict=True):
        if event in evictions and t_ns >= first_token_ns[request] >= 0:
            since.setdefault(request, t_ns)
        elif event == EVENTS.index("resume"):
            # A step planned ahead may evict a request before its first token, of the step before, is there.
            gaps.append((t_ns - since.pop(request, first_token_ns[request])) / 1e9)
    return np.array(gaps, dtype=np.float64)


def spread(values: Array) -> Spread:
    """Mean and percentiles (linear between order statistics) of a sample; NaN values are left out."""
    values = values[~np.isnan(values)]
    if not len(values):
        return Spread(None, None, None, None)
    p50, p90, p99 = np.percentile(values, [50, 90, 99])
    return Spread(float(values.mean()), float(p50), float(p90), float(p99))


def weighted_spread(values: Array, weights: Array) -> Spread:
    """The same where each value, none negative, occurred `weights` times; percentiles are the nearest rank."""
    total = int(weights.sum())
    if not total:
        return Spread(None, None, None, None)
    # Millions of values: only those that share their leading bits with a percentile are sorted.
    leading = np.asarray(values, dtype=np.float64).view(np.int64) >> 48
    cumulated = np.cumsum(np.bincount(leading, weights=weights))
    p50, p90, p99 = (_weighted_rank(values, weights, leading, cumulated, share * total) for share in (0.50, 0.90, 0.99))
    # Not np.dot: what BLAS sums to depends, in the last digit, on how many threads it may use.
    return Spread(float((values * weights).sum()) / total, p50, p90, p99)


def _weighted_rank(values: Array, weights: Array, leading: Array, cumulated: Array, rank: float) -> float:
    """The smallest value up to which at least `rank` occurrences lie."""
    bucket = int(np.searchsorted(cumulated, rank))
    inside = leading == bucket
    candidates, counts = values[inside], weights[inside]
    order = np.argsort(candidates, kind="stable")
    below = cumulated[bucket - 1] if bucket else 0
    position = int(np.searchsorted(below + np.cumsum(counts[order]), rank))
    return float(candidates[order][min(position, len(order) - 1)])


def good_mask(run: Run) -> Array:
    """Which of the finished requests keep the SLO."""
    scenario = run.info.scenario
    tpot = tpot_s(run)
    in_time = np.isnan(tpot) | (tpot <= scenario.slo_tpot_s)
    return np.asarray((ttft_s(run) <= scenario.slo_ttft_s) & in_time)


def makespan_ns(run: Run) -> int:
    """From the first arrival to the last finish; 0 if nothing finished."""
    if not finished_mask(run).any():
        return 0
    return int(run.requests["finish_ns"].max() - run.requests["arrival_ns"].min())


def memory_bound_share(run: Run) -> float:
    """Share of the makespan in which a request waited and memory was what kept it out."""
    steps = run.steps
    waited = (steps["waiting"] > 0) & (steps["blocked_by"] == BLOCKED_BY.index("memory"))
    return _ratio(int(steps["duration_ns"][waited].sum()), makespan_ns(run))


def mean_kv_use(run: Run) -> float:
    """Time mean of the KV bytes held, over the KV pool; within a row they grow from start to end evenly."""
    steps = run.steps
    held = (steps["kv_start_bytes"] + steps["kv_bytes"]) / 2
    area = float((held * steps["duration_ns"]).sum())
    return _ratio(area, run.info.scenario.memory.kv_pool_bytes * makespan_ns(run))


def padding_waste(run: Run) -> float:
    """Positions computed that belong to no request, over all positions computed."""
    steps = run.steps
    computed = int((steps["prefill_tokens"] + steps["decode_rows"] * steps["steps"]).sum())
    return _ratio(int(steps["padding_tokens"].sum()), computed)


def recompute_tax(run: Run) -> float:
    """Tokens computed more than once, over the tokens that the finished requests needed."""
    r, done = run.requests, finished_mask(run)
    needed = int((r["prompt_tokens"] + r["output_tokens"] - 1)[done].sum())
    return _ratio(int(r["recomputed_tokens"].sum()), needed)


def running_mean(run: Run) -> float:
    """Time mean of the requests that run."""
    steps = run.steps
    return _ratio(float((steps["running"] * steps["duration_ns"]).sum()), makespan_ns(run))


def summarize(run: Run) -> Summary:
    """All of it. Formulas: `GLOSSARY`."""
    r, steps, done = run.requests, run.steps, finished_mask(run)
    makespan = makespan_ns(run)
    seconds = makespan / 1e9
    scenario = run.info.scenario
    status = {name: int((r["status"] == code).sum()) for code, name in enumerate(STATUSES)}
    good = int(good_mask(run).sum())
    return Summary(
        policy=run.info.policy,
        requests=len(r["status"]),
        **status,
        makespan_s=seconds,
        total_tok_s=_ratio(int((r["prompt_tokens"] + r["output_tokens"])[done].sum()), seconds),
        output_tok_s=_ratio(int(r["output_tokens"][done].sum()), seconds),
        goodput_req_s=_ratio(good, seconds),
        ttft_s=spread(ttft_s(run)),
        tpot_s=spread(tpot_s(run)),
        e2e_s=spread(e2e_s(run)),
        itl_s=weighted_spread(*itl_s(run)),
        wait_s=spread((r["admitted_ns"] - r["arrival_ns"])[r["admitted_ns"] >= 0] / 1e9),
        slo=f"TTFT <= {scenario.slo_ttft_s:g} s, TPOT <= {scenario.slo_tpot_s * 1000:g} ms",
        ooms=int((steps["event"] == STEP_EVENTS.index("oom")).sum()),
        preemptions=int(r["preemptions"].sum()),
        recompute_tax=recompute_tax(run),
        peak_vram_bytes=int(steps["vram_used_bytes"].max(initial=0)),
        vram_budget_bytes=scenario.memory.budget_bytes,
        mean_kv_use=mean_kv_use(run),
        padding_waste=padding_waste(run),
        memory_bound_share=memory_bound_share(run),
        running_mean=running_mean(run),
        running_max=int(steps["running"].max(initial=0)),
        attainment=_ratio(good, len(r["status"])),
    )


_COUNTED = ("requests", *STATUSES, "ooms", "preemptions")


def averaged(summaries: Sequence[Summary]) -> Summary:
    """One for the runs of several seeds: counts of requests and of what befell them together, all else as a mean; None
    where one of the runs has none.
    """
    if len(summaries) == 1:
        return summaries[0]
    values: dict[str, Any] = {}
    for name in Summary.__struct_fields__:
        each = [getattr(summary, name) for summary in summaries]
        if isinstance(each[0], str):
            values[name] = each[0]
        elif isinstance(each[0], Spread):
            parts = ([getattr(spread, part) for spread in each] for part in Spread.__struct_fields__)
            values[name] = Spread(*map(_mean, parts))
        elif name in _COUNTED:
            values[name] = sum(each)
        else:
            values[name] = type(each[0])(_mean(each))
    return Summary(**values)


def _mean(values: Sequence[Any]) -> Any:
    return None if None in values else sum(values) / len(values)


def order_by_merit(summaries: Sequence[Summary]) -> list[int]:
    """Positions, best first: goodput decides if it says anything, then throughput, then mean E2E. Within `TIE` of the
    best of those that are left, a figure decides nothing.
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
    """Whether goodput says anything about these: whoever has most of it has it of `ENOUGH_IN_TIME` of the requests, and
    of `FEWEST_IN_TIME` at least.

    Of others it is not asked, lest a run that is worse in everything could change what decides.
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
    """Whether nothing that decides tells the two apart."""
    pairs = [(a.total_tok_s, b.total_tok_s), (_mean_e2e(a), _mean_e2e(b))]
    if goodput_decides((a, b)):
        pairs.append((a.goodput_req_s, b.goodput_req_s))
    return all(x == y or close(x, y) for x, y in pairs)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
