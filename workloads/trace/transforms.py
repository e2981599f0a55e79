"""A trace made into another. What was done stands in the source of the new one, beside what became of every row."""

import math
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from ...errors import InvalidScenario, InvalidTrace
from .. import streams
from ..quantities import NS
from ..streams import stream
from .loops import begun_at, dealt, starts_ns
from .trace import Trace, TraceSource
from .turns import LONGEST_SPAN_S, Turns

_Flags = np.ndarray[Any, np.dtype[np.bool_]]


def scale_rate(trace: Trace, factor: float) -> Trace:
    """Multiply the arrival rate: the same sequence of requests, its time divided by `factor`.

    How long a request comes after the answer to another is left: users do not think faster where there are more.

    Raises InvalidScenario: the factor is no positive number, or leaves no two times apart, or times of centuries.
    """
    if not 0 < factor < math.inf:
        raise InvalidScenario(f"the rate is to be scaled by {factor:g}, expected a positive number")
    if factor == 1.0:
        return trace
    span_s = int(trace.arrival_ns[-1]) / NS / factor
    if span_s > LONGEST_SPAN_S or (span_s > 0 and span_s * NS < 1):
        raise InvalidScenario(f"the rate is to be scaled by {factor:g}: {trace.name} would then last {span_s:.3g} s")
    arrival_ns = np.rint(trace.arrival_ns / factor).astype(np.int64)
    return _noted(replace(trace, arrival_ns=arrival_ns), f"rate x{factor:g}")


def slice_time(trace: Trace, start_s: float, end_s: float) -> Trace:
    """The requests that arrive from `start_s` on and before `end_s`, the first of them at 0.

    Raises:
        InvalidScenario: the slice is empty by its bounds.
        InvalidTrace: nothing arrives within it.
    """
    if not 0 <= start_s < end_s:
        raise InvalidScenario(f"slice {start_s:g}s to {end_s:g}s: expected 0 <= start < end")
    seconds = trace.arrival_ns / NS
    within = (seconds >= start_s) & (seconds < end_s)
    kept = _kept(trace, within, "outside_of_the_slice", f"slice {start_s:g}s to {end_s:g}s")
    return replace(kept, arrival_ns=kept.arrival_ns - kept.arrival_ns[0])


def head(trace: Trace, count: int) -> Trace:
    """The first requests alone, so many or all that there are; the others are counted as dropped."""
    if count >= len(trace):
        return trace
    return _kept(trace, np.arange(len(trace)) < count, "after_the_first_ones", f"the first {count}")


def drop_beyond_context(trace: Trace, context_tokens: int) -> Trace:
    """Without the requests of which prompt and output together are longer than the context.

    Raises:
        InvalidTrace: all of them are.
    """
    fits = trace.prompt_tokens + trace.output_tokens <= context_tokens
    return _kept(trace, fits, "longer_than_the_context", f"dropped beyond {context_tokens} tokens")


def clip_context(trace: Trace, context_tokens: int) -> Trace:
    """Prompts cut so that prompt and output together are within the context; an output as long as all of it as well.

    Raises:
        InvalidScenario: the context has no room for a prompt and an output of one token.
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
    """Spread arrivals that a clock rounded down over the tick that they fell into, evenly and at random.

    Requests of one tick change their order. The first one is at 0.

    Args:
        quantum_s: length of a tick; default: as `quantum_ns` finds it.

    Raises:
        InvalidTrace: the trace has no times.
        InvalidScenario: the length of a tick is not positive.
    """
    if quantum_s is not None and not 0 < quantum_s < math.inf:
        raise InvalidScenario(f"the quantum of arrival times is {quantum_s:g} s, expected a positive number")
    quantum = round(quantum_s * NS) if quantum_s is not None else quantum_ns(trace)
    starts = starts_ns(trace)
    jittered = starts + stream(seed, streams.JITTER).integers(0, max(quantum, 1), len(starts))
    return _noted(begun_at(trace, jittered - jittered.min()), f"dequantized by {quantum / NS:g}s, seed {seed}")


def quantum_ns(trace: Trace) -> int:
    """The tick of the clock that a trace's times were taken by.

    Every time is a multiple of it; or, where most requests share a tick with another, ticks lie so far apart: those of
    Mooncake do by 3 s, give or take some ms.

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
    """Two traces as one, in order of arrival, as long as both last.

    The first keeps its rate; the time of the other is scaled so that it brings `1 - share` of the requests. Which
    prompts begin alike is not known of a mix.

    Raises:
        InvalidScenario: the share is not between 0 and 1.
        InvalidTrace: one has no arrival times.
    """
    if not 0 < share < 1:
        raise InvalidScenario(f"share of {first.name} in the mix is {share:g}, expected more than 0 and less than 1")
    rates = [_rate_s(first), _rate_s(other)]
    parts = (first, scale_rate(other, rates[0] / rates[1] * (1 - share) / share))
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


def dealt_anew(trace: Trace, seed: int) -> Trace:
    """The same arrival times and the same requests, but who comes when is drawn anew: prompt and output stay together,
    and so do requests that wait for each other.

    What another seed means where nothing is drawn at random. Any drift of lengths that the trace has is lost.
    """
    return _noted(dealt(trace, starts_ns(trace), stream(seed, streams.DEAL)), f"dealt anew, seed {seed}")


def shuffle_lengths(trace: Trace, seed: int) -> Trace:
    """The same prompts and the same outputs, each shuffled apart: an output no longer hangs on its prompt."""
    prompt = stream(seed, streams.SHUFFLED_PROMPTS).permutation(trace.prompt_tokens)
    output = stream(seed, streams.SHUFFLED_OUTPUTS).permutation(trace.output_tokens)
    shuffled = replace(trace, prompt_tokens=prompt, output_tokens=output, prefix=None)
    return _noted(shuffled, f"lengths shuffled, seed {seed}")


def _noted(trace: Trace, what: str) -> Trace:
    source = msgspec.structs.replace(trace.source, transforms=(*trace.source.transforms, what))
    return replace(trace, source=source)


def _kept(trace: Trace, wanted: _Flags, reason: str, what: str) -> Trace:
    """The wanted requests alone; the others are counted as dropped."""
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
        raise InvalidTrace(f"{trace.name} has no arrival times to be mixed by: give it some, as poisson:RATE")
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
