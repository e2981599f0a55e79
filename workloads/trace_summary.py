"""A trace in numbers: lengths, rate, burstiness."""

import msgspec
import numpy as np

from .trace import Column, Trace

_IDC_WINDOWS_S = (1, 10, 60)


class LengthSummary(msgspec.Struct, frozen=True):
    """Tokens of one kind over all requests."""

    mean: float
    p50: float
    p95: float
    p99: float
    max: int


class TraceSummary(msgspec.Struct, frozen=True):
    """What a trace is like. Arrival figures are None where the trace has no times, or too few of them.

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
    span_s: float | None
    rate_s: float | None
    cv: float | None
    idc: dict[str, float]


def describe(trace: Trace) -> TraceSummary:
    """Summarise lengths and arrivals."""
    prompt, output = trace.prompt_tokens, trace.output_tokens
    span_s = float(trace.arrival_ns[-1]) / 1e9 if trace.has_times and len(trace) > 1 else 0.0
    gaps = np.diff(trace.arrival_ns)
    varied = len(trace) > 1 and prompt.std() > 0 and output.std() > 0
    return TraceSummary(
        requests=len(trace),
        max_new_tokens=trace.max_new_tokens,
        prompt_tokens=_lengths(prompt),
        output_tokens=_lengths(output),
        total_tokens=_lengths(prompt + output),
        output_share=float(output.sum() / (prompt + output).sum()),
        correlation=float(np.corrcoef(prompt, output)[0, 1]) if varied else None,
        span_s=span_s or None,
        rate_s=(len(trace) - 1) / span_s if span_s else None,
        cv=float(gaps.std() / gaps.mean()) if span_s else None,
        idc=dispersion(trace.arrival_ns) if span_s else {},
    )


def _lengths(tokens: Column) -> LengthSummary:
    p50, p95, p99 = np.percentile(tokens, [50, 95, 99])
    return LengthSummary(float(tokens.mean()), float(p50), float(p95), float(p99), int(tokens.max()))


def dispersion(arrival_ns: Column) -> dict[str, float]:
    """Variance / mean of the counts in whole windows of 1, 10 and 60 s, where there are at least two."""
    found = {}
    for window_s in _IDC_WINDOWS_S:
        windows = int(arrival_ns[-1] // (window_s * 10**9))  # whole ones only
        if windows >= 2:
            slots = arrival_ns // (window_s * 10**9)
            counts = np.bincount(slots[slots < windows], minlength=windows)
            found[f"{window_s}s"] = float(counts.var() / counts.mean()) if counts.any() else 0.0
    return found
