"""The table of a comparison, as text, for the terminal and the page alike."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...records import RunInfo
from ...records.metrics import Spread, Summary
from ..numbers import ENOUGH_FOR_P99, gib, percent, seconds, three_digits
from .verdict import Verdict, labelled_summaries


@dataclass(frozen=True, slots=True)
class Cell:
    """What is shown, and the number to sort by."""

    text: str
    value: float


@dataclass(frozen=True, slots=True)
class ReportTable:
    """Column heads with their explanations, and one row of cells a run."""

    heads: list[tuple[str, str]]
    rows: list[list[Cell]]


_TAILS = {
    "p99": "99th percentile",
    "p90": f"90th percentile; a 99th needs {ENOUGH_FOR_P99} finished requests",
}


def comparison(infos: Sequence[RunInfo], judged: Verdict) -> ReportTable:
    """One row a run; columns about requests that did not finish appear only if there are any, and a p99 only if enough
    finished for one in every run.
    """
    summaries = labelled_summaries(infos)
    lost = [name for name in ("rejected", "failed", "aborted") if any(getattr(s, name) for s in summaries)]
    tail = "p99" if min(s.finished for s in summaries) >= ENOUGH_FOR_P99 else "p90"
    rows = [
        [
            Cell(summary.policy + _marks(info, position, judged), position),
            *_figures(summary, tail),
            *(Cell(f"{getattr(summary, name):,}", getattr(summary, name)) for name in lost),
        ]
        for position, (info, summary) in enumerate(zip(infos, summaries, strict=True))
    ]
    return ReportTable([*_heads(tail), *((name, f"requests {name}") for name in lost)], rows)


def _heads(tail: str) -> list[tuple[str, str]]:
    return [
        ("policy", "what batched the requests"),
        ("tokens/s", "prompt and output tokens of finished requests over the makespan"),
        ("goodput", "finished requests that keep the SLO, per second"),
        ("TTFT p50", "time to first token, median"),
        (f"TTFT {tail}", f"time to first token, {_TAILS[tail]}"),
        ("E2E p50", "arrival to last token, median"),
        (f"E2E {tail}", f"arrival to last token, {_TAILS[tail]}"),
        ("OOMs", "steps that ran out of memory"),
        ("preempted", "times a running request lost its place and its cache, or had it swapped out"),
        ("peak VRAM", "most memory in use, and its share of the budget"),
        ("mean KV", "time mean of KV bytes held over the KV pool"),
        ("padding", "computed positions that belong to no request"),
    ]


def _marks(info: RunInfo, position: int, judged: Verdict) -> str:
    best = " (best)" if judged.contested and position == judged.winner and not judged.tied else ""
    return best + ("" if info.complete else " INCOMPLETE")


def _figures(s: Summary, tail: str) -> list[Cell]:
    return [
        Cell(f"{s.total_tok_s:,.0f}", s.total_tok_s),
        Cell(three_digits(s.goodput_req_s), s.goodput_req_s),
        *_latencies(s.ttft_s, tail),
        *_latencies(s.e2e_s, tail),
        Cell(f"{s.ooms:,}", s.ooms),
        Cell(f"{s.preemptions:,}", s.preemptions),
        _peak(s),
        Cell(f"{s.mean_kv_use:.0%}", s.mean_kv_use),
        Cell(f"{s.padding_waste:.0%}", s.padding_waste),
    ]


def _latencies(spread: Spread, tail: str) -> list[Cell]:
    values: list[float | None] = [spread.p50, getattr(spread, tail)]
    return [Cell("-", float("inf")) if value is None else Cell(seconds(value), value) for value in values]


def _peak(s: Summary) -> Cell:
    share = percent(s.peak_vram_bytes / s.vram_budget_bytes)
    return Cell(f"{gib(s.peak_vram_bytes)} {share}", s.peak_vram_bytes)
