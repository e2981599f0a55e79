"""Every metric of a run, computed here and nowhere else, for simulated and real runs alike."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from ..csrc import EVENTS, STATUSES, STEP_EVENTS
from .run import BLOCKED_BY, Run, RunInfo

Array = np.ndarray[Any, Any]


class Spread(msgspec.Struct, frozen=True):
    """A distribution in four numbers, in seconds; None if there is no sample."""

    mean: float | None
    p50: float | None
    p90: float | None
    p99: float | None


class Summary(msgspec.Struct, frozen=True):
    """The metrics of a run: what `--json` prints and `run.json` holds. Formulas: `reports.comparison.glossary`."""

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
    attainment: float


def summary_of(info: RunInfo) -> Summary:
    """The summary in a `run.json`, typed."""
    return msgspec.convert(info.summary, Summary)


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
    """TPOT of every finished request, in seconds; NaN for a request with one output token."""
    r, done = run.requests, finished_mask(run)
    gaps = (r["output_tokens"] - 1)[done]
    decoding = (r["finish_ns"] - r["first_token_ns"])[done] / 1e9
    return np.asarray(np.divide(decoding, gaps, out=np.full(len(gaps), np.nan), where=gaps > 0))


def itl_s(run: Run) -> tuple[Array, Array]:
    """Gaps between tokens, in seconds, and how often each occurred.

    Each request that decodes in a step has one gap, as long as the step. Some policies prefill in separate steps: a
    request that decoded before such steps waits for them too, so its next gap includes them. An eviction adds one gap,
    from the last token before it to the first token after it.
    """
    steps = run.steps
    ran = (steps["steps"] > 0) & (steps["decode_rows"] > 0)
    count = steps["steps"][ran]
    # Only static batches pad, and each of their steps either prefills or decodes: in decode steps, padding is the rows
    # of requests that have ended.
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
    """For each row of steps that decodes: the duration of the steps without decoding directly before it, and how many
    requests waited through them.
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
            # A step that was planned ahead may evict a request before the step before it has made its first token.
            gaps.append((t_ns - since.pop(request, first_token_ns[request])) / 1e9)
    return np.array(gaps, dtype=np.float64)


def spread(values: Array) -> Spread:
    """Mean and percentiles of a sample, linear between order statistics. NaN values are left out."""
    values = values[~np.isnan(values)]
    if not len(values):
        return Spread(None, None, None, None)
    p50, p90, p99 = np.percentile(values, [50, 90, 99])
    return Spread(float(values.mean()), float(p50), float(p90), float(p99))


def weighted_spread(values: Array, weights: Array) -> Spread:
    """Mean and percentiles (nearest rank) of values that occurred `weights` times each. No value is negative."""
    total = int(weights.sum())
    if not total:
        return Spread(None, None, None, None)
    # There can be millions of values: only those that share their leading bits with a percentile are sorted.
    leading = np.asarray(values, dtype=np.float64).view(np.int64) >> 48
    cumulated = np.cumsum(np.bincount(leading, weights=weights))
    p50, p90, p99 = (_weighted_rank(values, weights, leading, cumulated, share * total) for share in (0.50, 0.90, 0.99))
    # Not np.dot: the last digit of a sum in BLAS depends on its number of threads.
    return Spread(float((values * weights).sum()) / total, p50, p90, p99)


def _weighted_rank(values: Array, weights: Array, leading: Array, cumulated: Array, rank: float) -> float:
    """The smallest value such that at least `rank` occurrences are not above it."""
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
    """Share of the makespan in which at least one request waited for memory."""
    steps = run.steps
    waited = (steps["waiting"] > 0) & (steps["blocked_by"] == BLOCKED_BY.index("memory"))
    return _ratio(int(steps["duration_ns"][waited].sum()), makespan_ns(run))


def mean_kv_use(run: Run) -> float:
    """Time mean of the KV bytes held, over the KV pool. Within a row of steps they grow evenly from start to end."""
    steps = run.steps
    held = (steps["kv_start_bytes"] + steps["kv_bytes"]) / 2
    area = float((held * steps["duration_ns"]).sum())
    return _ratio(area, run.info.scenario.memory.kv_pool_bytes * makespan_ns(run))


def padding_waste(run: Run) -> float:
    """Padding positions over all computed positions."""
    steps = run.steps
    computed = int((steps["prefill_tokens"] + steps["decode_rows"] * steps["steps"]).sum())
    return _ratio(int(steps["padding_tokens"].sum()), computed)


def recompute_tax(run: Run) -> float:
    """Tokens computed more than once, over the tokens that the finished requests needed."""
    r, done = run.requests, finished_mask(run)
    needed = int((r["prompt_tokens"] + r["output_tokens"] - 1)[done].sum())
    return _ratio(int(r["recomputed_tokens"].sum()), needed)


def running_mean(run: Run) -> float:
    """Time mean of the number of running requests."""
    steps = run.steps
    return _ratio(float((steps["running"] * steps["duration_ns"]).sum()), makespan_ns(run))


def summarize(run: Run) -> Summary:
    """All metrics of a run."""
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
    """One summary for the runs of several seeds: counts are sums, peak VRAM is the maximum, the rest are means.

    A mean is None if one of the runs has no value.
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
        elif name == "peak_vram_bytes":
            values[name] = max(each)
        else:
            values[name] = type(each[0])(_mean(each))
    return Summary(**values)


def _mean(values: Sequence[Any]) -> Any:
    return None if None in values else sum(values) / len(values)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
