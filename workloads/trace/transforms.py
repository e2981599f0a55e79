"""Transforms: functions from a trace to another one, whose source says what was done and what became of every row."""

from dataclasses import replace

import msgspec
import numpy as np

from ...errors import InvalidScenario, InvalidTrace
from .. import streams
from ..quantities import LONGEST_SPAN_S, NS
from ..streams import stream
from .loops import begun_at, shuffle_loops, starts_ns
from .trace import Trace, TraceSource
from .transform_text import reshuffle_text, seeded
from .turns import Flags, Turns

_RATE_FACTORS = (1e-9, 1e9)
"""Beyond, seconds become nanoseconds or decades: such a factor is a mistake."""


def scale_rate(trace: Trace, factor: float) -> Trace:
    """Multiply the arrival rate: the same sequence of requests, with arrival times divided by `factor`.

    Times are rounded to a nanosecond, so requests that come closer together than that arrive at once. Think times stay:
    users do not think faster where there are more of them.

    Raises:
        InvalidScenario: the factor is not within 1e-9 to 1e9, or the trace would last longer than times can say.
    """
    lowest, highest = _RATE_FACTORS
    if not lowest <= factor <= highest:
        raise InvalidScenario(f"the rate factor is {factor:g}, expected {lowest:g} to {highest:g}")
    return _rescaled(trace, factor)


def slice_time(trace: Trace, start_s: float, end_s: float) -> Trace:
    """The requests that arrive from `start_s` on and before `end_s`; the first of them arrives at 0.

    Raises:
        InvalidScenario: the bounds are not 0 <= start < end.
        InvalidTrace: no request arrives between them.
    """
    if not 0 <= start_s < end_s:
        raise InvalidScenario(f"slice {_span_text(start_s, end_s)}: expected 0 <= start < end")
    seconds = trace.arrival_ns / NS
    within = (seconds >= start_s) & (seconds < end_s)
    kept = _kept(trace, within, "outside_of_the_slice", f"slice {_span_text(start_s, end_s)}")
    return replace(kept, arrival_ns=kept.arrival_ns - kept.arrival_ns[0])


def _span_text(start_s: float, end_s: float) -> str:
    return f"{start_s:g}s to " + (f"{end_s:g}s" if end_s < float("inf") else "the end")


def head(trace: Trace, count: int) -> Trace:
    """The first `count` requests, or all if there are fewer; the others are counted as dropped."""
    if count >= len(trace):
        return trace
    return _kept(trace, np.arange(len(trace)) < count, "after_the_first_ones", f"the first {count}")


def drop_beyond_context(trace: Trace, context_tokens: int) -> Trace:
    """The requests whose prompt and output together fit the context; the others are counted as dropped.

    Raises:
        InvalidTrace: no request fits.
    """
    fits = trace.prompt_tokens + trace.output_tokens <= context_tokens
    return _kept(trace, fits, "longer_than_the_context", f"dropped beyond {context_tokens} tokens")


def clip_context(trace: Trace, context_tokens: int) -> Trace:
    """All requests, with prompts cut so that prompt and output together fit the context.

    An output that would fill the context leaves one token for its prompt. Cut requests are counted as repaired.

    Raises:
        InvalidScenario: the context is shorter than one prompt token and one output token.
    """
    if context_tokens < 2:
        raise InvalidScenario(f"context is {context_tokens} tokens, expected at least 2")
    output = np.minimum(trace.output_tokens, context_tokens - 1)
    prompt = np.minimum(trace.prompt_tokens, context_tokens - output)
    cut = int(((output != trace.output_tokens) | (prompt != trace.prompt_tokens)).sum())
    prefix = trace.prefix and trace.prefix.shortened(prompt)
    clipped = replace(trace, prompt_tokens=prompt, output_tokens=output, prefix=prefix)
    clipped = _noted(clipped, f"clipped to {context_tokens} tokens")
    repaired = _sum_of(trace.source.repaired, {"clipped_to_the_context": cut} if cut else {})
    return replace(clipped, source=msgspec.structs.replace(clipped.source, repaired=repaired))


def dequantize(trace: Trace, seed: int, quantum_s: float | None = None) -> Trace:
    """Spread arrivals that a clock rounded down evenly and at random over the tick that they fell into.

    Requests of the same tick may change their order. The first request arrives at 0.

    Args:
        quantum_s: length of a tick in seconds; default: what `quantum_ns` finds.

    Raises:
        InvalidTrace: all requests arrive at once, so the trace has no tick.
        InvalidScenario: the length of a tick is not positive, or the trace would last longer than times can say.
    """
    if quantum_s is not None and not 0 < quantum_s < LONGEST_SPAN_S:
        raise InvalidScenario(f"the quantum of arrival times is {quantum_s:g} s, expected a positive number of seconds")
    quantum = round(quantum_s * NS) if quantum_s is not None else quantum_ns(trace)
    starts = starts_ns(trace)
    _check_span(trace, (int(starts[-1]) + quantum) / NS)
    jittered = starts + stream(seed, streams.JITTER).integers(0, max(quantum, 1), len(starts))
    return _noted(begun_at(trace, jittered - jittered.min()), seeded(f"dequantized by {quantum / NS:g}s", seed))


def quantum_ns(trace: Trace) -> int:
    """The tick, in nanoseconds, of the clock that took a trace's times.

    It is the largest duration that divides all gaps between arrivals. Where most requests share their time with another
    one, it is the median gap between different times instead: Mooncake's ticks are 3 s apart, give or take some ms.

    Raises:
        InvalidTrace: all requests arrive at once.
    """
    starts = starts_ns(trace)
    ticks = np.unique(starts)
    if len(ticks) < 2:
        raise InvalidTrace(f"{trace.name} has no arrival times to dequantize: all requests arrive at once")
    gaps = np.diff(ticks)
    return int(np.median(gaps)) if 2 * len(ticks) < len(starts) else int(np.gcd.reduce(gaps))


def mix(first: Trace, other: Trace, share: float) -> Trace:
    """The requests of two traces in order of arrival, until the shorter one ends.

    The first trace keeps its rate; the rate of the other one is scaled so that it brings `1 - share` of the requests.
    The mix has no prefix blocks, since those of two traces cannot be compared.

    Raises:
        InvalidScenario: the share is not between 0 and 1, or the scaled trace would last longer than times can say.
        InvalidTrace: one of the traces has no arrival times.
    """
    if not 0 < share < 1:
        raise InvalidScenario(f"share of {first.name} in the mix is {share:g}, expected more than 0 and less than 1")
    rates = [_rate_s(first), _rate_s(other)]
    parts = (first, _rescaled(other, rates[0] / rates[1] * (1 - share) / share))
    end_ns = min(int(part.arrival_ns[-1]) for part in parts)
    times = np.concatenate([part.arrival_ns for part in parts])
    merged = Trace(
        name=f"{first.name}+{other.name}",
        arrival_ns=times,
        prompt_tokens=np.concatenate([part.prompt_tokens for part in parts]),
        output_tokens=np.concatenate([part.output_tokens for part in parts]),
        max_new_tokens=max(first.max_new_tokens, other.max_new_tokens),
        has_times=first.has_times and other.has_times,
        source=_joined(parts[0].source, parts[1].source),
        turns=_joined_turns(first, other),
    ).at(np.argsort(times, kind="stable"))
    what = f"{share:.4g} {first.name} mixed with {1 - share:.4g} {other.name}"
    return _kept(merged, merged.arrival_ns <= end_ns, "after_the_end_of_the_mix", what)


def reshuffled(trace: Trace, seed: int) -> Trace:
    """The same arrival times and the same requests, with each request moved to a random one of these times.

    Prompt and output stay together, and so do requests that wait for each other. This is how a seed varies a trace that
    was not drawn at random. A drift of lengths over time is lost.
    """
    shuffled = shuffle_loops(trace, starts_ns(trace), stream(seed, streams.RESHUFFLE))
    return _noted(shuffled, reshuffle_text(seed))


def shuffle_lengths(trace: Trace, seed: int) -> Trace:
    """The same prompts and outputs, shuffled independently: an output no longer depends on its prompt."""
    prompt = stream(seed, streams.SHUFFLED_PROMPTS).permutation(trace.prompt_tokens)
    output = stream(seed, streams.SHUFFLED_OUTPUTS).permutation(trace.output_tokens)
    shuffled = replace(trace, prompt_tokens=prompt, output_tokens=output, prefix=None)
    return _noted(shuffled, seeded("lengths shuffled", seed))


def _rescaled(trace: Trace, factor: float) -> Trace:
    """Arrival times divided by `factor`. Rounding keeps their order, so every result is a trace."""
    if factor == 1.0:
        return trace
    _check_span(trace, int(trace.arrival_ns[-1]) / NS / factor)
    arrival_ns = np.rint(trace.arrival_ns / factor).astype(np.int64)
    return _noted(replace(trace, arrival_ns=arrival_ns), f"rate x{factor:g}")


def _check_span(trace: Trace, last_s: float) -> None:
    """Raise InvalidScenario where a trace whose last arrival is then would last longer than times can say."""
    span_s = last_s + (trace.turns.pauses_s if trace.turns else 0.0)
    if not span_s <= LONGEST_SPAN_S:
        raise InvalidScenario(f"{trace.name} would last {span_s:.3g} s, expected at most {LONGEST_SPAN_S:g} s")


def _noted(trace: Trace, what: str) -> Trace:
    source = msgspec.structs.replace(trace.source, transforms=(*trace.source.transforms, what))
    return replace(trace, source=source)


def _kept(trace: Trace, wanted: Flags, reason: str, what: str) -> Trace:
    """The wanted requests; the others are counted as dropped."""
    if not wanted.any():
        raise InvalidTrace(f"{trace.name}: {what}: no request is left")
    dropped = int((~wanted).sum())
    source = msgspec.structs.replace(
        trace.source,
        kept=trace.source.kept - dropped,
        dropped=_sum_of(trace.source.dropped, {reason: dropped} if dropped else {}),
    )
    return _noted(replace(trace, source=source).at(np.flatnonzero(wanted)), what)


def _rate_s(trace: Trace) -> float:
    span_ns = int(trace.arrival_ns[-1] - trace.arrival_ns[0])
    if span_ns == 0:
        raise InvalidTrace(f"{trace.name} has no arrival times to be mixed by: give it some, such as poisson:RATE")
    return (len(trace) - 1) * NS / span_ns


def _joined_turns(first: Trace, other: Trace) -> Turns | None:
    if first.turns is None and other.turns is None:
        return None
    return Turns.joined(trace.turns or Turns.none(len(trace)) for trace in (first, other))


def _joined(first: TraceSource, other: TraceSource) -> TraceSource:
    return TraceSource(
        path=f"{first.path} + {other.path}",
        sha256=f"{first.sha256} + {other.sha256}",
        format=first.format if first.format == other.format else f"{first.format} + {other.format}",
        rows_read=first.rows_read + other.rows_read,
        kept=first.kept + other.kept,
        dropped=_sum_of(first.dropped, other.dropped),
        repaired=_sum_of(first.repaired, other.repaired),
        examples={**other.examples, **first.examples},
        transforms=first.transforms + other.transforms,
    )


def _sum_of(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {reason: one.get(reason, 0) + other.get(reason, 0) for reason in {**one, **other}}
