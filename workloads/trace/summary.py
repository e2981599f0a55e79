"""A trace in numbers: lengths, rate, burstiness, conversations, and how much prompts share their beginnings."""

import msgspec
import numpy as np

from ..quantities import NS
from .loops import starts_ns
from .prefix_sharing import PrefixSharing, prefix_sharing
from .trace import Column, Trace
from .turns import Turns

_IDC_WINDOWS_S = (1, 10, 60)


class LengthSummary(msgspec.Struct, frozen=True):
    """Tokens of one kind over all requests, or turns over all conversations."""

    mean: float
    p50: float
    p95: float
    p99: float
    max: int


class Conversations(msgspec.Struct, frozen=True):
    """Requests that belong together.

    Attributes:
        conversations: their number; a conversation may have a single turn.
        turns: requests per conversation.
        waiting: the share of all requests that arrive only when the one before them has ended: a closed loop.
        think_s: the time from that end to their arrival: p50, p90, p99; empty where no request waits.
    """

    conversations: int
    turns: LengthSummary
    waiting: float
    think_s: dict[str, float]


class TraceSummary(msgspec.Struct, frozen=True):
    """What a trace is like. Arrival figures are None where the trace has no times, or too few of them.

    They describe the `arrivals` requests that do not wait; when a waiting request arrives, only a run decides.
    `cv` is the coefficient of variation of the gaps between arrivals (1 for Poisson). `idc` is the index of dispersion
    of counts, variance / mean, over windows of 1, 10 and 60 s (1 for Poisson).
    """

    requests: int
    max_new_tokens: int
    prompt_tokens: LengthSummary
    output_tokens: LengthSummary
    total_tokens: LengthSummary
    output_share: float
    correlation: float | None
    arrivals: int
    span_s: float | None
    rate_s: float | None
    cv: float | None
    idc: dict[str, float]
    conversations: Conversations | None
    prefix: PrefixSharing | None


def summarize_trace(trace: Trace) -> TraceSummary:
    """Summarise a trace. Closed loops count as one arrival each."""
    prompt, output, starts = trace.prompt_tokens, trace.output_tokens, starts_ns(trace)
    span_s = float(starts[-1]) / NS if trace.has_times and len(starts) > 1 else 0.0
    gaps = np.diff(starts)
    varied = len(trace) > 1 and prompt.std() > 0 and output.std() > 0
    return TraceSummary(
        requests=len(trace),
        max_new_tokens=trace.max_new_tokens,
        prompt_tokens=_lengths(prompt),
        output_tokens=_lengths(output),
        total_tokens=_lengths(prompt + output),
        output_share=float(output.sum() / (prompt + output).sum()),
        correlation=float(np.corrcoef(prompt, output)[0, 1]) if varied else None,
        arrivals=len(starts),
        span_s=span_s or None,
        rate_s=(len(starts) - 1) / span_s if span_s else None,
        cv=float(gaps.std() / gaps.mean()) if span_s else None,
        idc=dispersion(starts) if span_s else {},
        conversations=None if trace.turns is None else _conversations(trace.turns),
        prefix=prefix_sharing(trace),
    )


def turns_of_conversations(turns: Turns) -> Column:
    """The number of requests of each conversation."""
    counts = np.bincount(turns.session[turns.session >= 0])
    return counts[counts > 0]


def _conversations(turns: Turns) -> Conversations | None:
    counts, think_s = turns_of_conversations(turns), turns.think_ns[turns.waits] / NS
    if not len(counts) and not len(think_s):
        return None
    return Conversations(
        conversations=len(counts),
        turns=_lengths(counts if len(counts) else np.zeros(1, dtype=np.int64)),
        waiting=float(turns.waits.mean()),
        think_s={f"p{p}": float(np.percentile(think_s, p)) for p in (50, 90, 99)} if len(think_s) else {},
    )


def _lengths(tokens: Column) -> LengthSummary:
    p50, p95, p99 = np.percentile(tokens, [50, 95, 99])
    return LengthSummary(float(tokens.mean()), float(p50), float(p95), float(p99), int(tokens.max()))


def dispersion(arrival_ns: Column) -> dict[str, float]:
    """The index of dispersion (variance / mean) of counts over whole windows of 1, 10 and 60 s.

    A length with fewer than two windows is left out.
    """
    found = {}
    for window_s in _IDC_WINDOWS_S:
        windows = int(arrival_ns[-1] // (window_s * 10**9))  # whole ones only
        if windows >= 2:
            slots = arrival_ns // (window_s * 10**9)
            counts = np.bincount(slots[slots < windows], minlength=windows)
            found[f"{window_s}s"] = float(counts.var() / counts.mean()) if counts.any() else 0.0
    return found
