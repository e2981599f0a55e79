"""The table of a comparison as text, for the terminal and the page alike."""

from dataclasses import dataclass

from ...records.metrics import Spread, Summary, summary_of
from ..numbers import ENOUGH_FOR_P99, gib, percent, seconds, three_digits
from .contender import Contender
from .verdict import Verdict


@dataclass(frozen=True, slots=True)
class Cell:
    """The text of a cell, and the number to sort by."""

    text: str
    value: float


@dataclass(frozen=True, slots=True)
class ReportTable:
    """Column heads with their explanations, and rows of cells."""

    heads: list[tuple[str, str]]
    rows: list[list[Cell]]


_TAILS = {
    "p99": "99th percentile",
    "p90": f"90th percentile (a p99 needs {ENOUGH_FOR_P99} finished requests)",
}


def comparison_table(judged: Verdict) -> ReportTable:
    """One row per run, with the figures of its first seed.

    Columns about requests that did not finish appear only if there are such requests. Tails are p99 only if enough
    requests finished in every run, else p90.
    """
    summaries = [summary_of(each.info) for each in judged.contenders]
    lost = [name for name in ("rejected", "failed", "aborted") if any(getattr(s, name) for s in summaries)]
    tail = "p99" if min(s.finished for s in summaries) >= ENOUGH_FOR_P99 else "p90"
    rows = [
        [
            Cell(each.label + _marks(each, judged), each.position),
            *_figures(summary, tail),
            *(Cell(f"{getattr(summary, name):,}", getattr(summary, name)) for name in lost),
        ]
        for each, summary in zip(judged.contenders, summaries, strict=True)
    ]
    return ReportTable([*_heads(tail), *((name, f"requests {name}") for name in lost)], rows)


def _heads(tail: str) -> list[tuple[str, str]]:
    return [
        ("policy", "the rule that chose the batches"),
        ("tokens/s", "prompt and output tokens of finished requests, divided by the makespan"),
        ("goodput", "finished requests that kept the SLO, per second"),
        ("TTFT p50", "time to first token, median"),
        (f"TTFT {tail}", f"time to first token, {_TAILS[tail]}"),
        ("E2E p50", "time from arrival to last token, median"),
        (f"E2E {tail}", f"time from arrival to last token, {_TAILS[tail]}"),
        ("OOMs", "steps that ran out of memory"),
        ("preempted", "how often a running request was evicted: its KV cache was dropped or swapped out"),
        ("peak VRAM", "largest memory use of any step, and its share of the budget"),
        ("mean KV", "time mean of the KV bytes held, divided by the KV pool"),
        ("padding", "share of computed positions that belong to no request"),
    ]


def _marks(contender: Contender, judged: Verdict) -> str:
    best = " (best)" if contender.position == judged.sole_winner else ""
    return best + ("" if contender.info.complete else " INCOMPLETE")


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
