"""When requests arrive: as the trace says, all at once, or as a Poisson stream; and which request comes when."""

import math
from dataclasses import replace

import numpy as np

from ..errors import InvalidScenario, InvalidTrace
from .trace import Column, Trace

NS = 1_000_000_000
_ARRIVAL_STREAM = 101  # keeps these draws apart from those of the generator under the same seed
_DEAL_STREAM = 102


def with_arrivals(trace: Trace, spec: str, seed: int) -> Trace:
    """The same requests, arriving as `spec` says: `trace`, `at-zero` or `poisson:RATE` (requests per second).

    Raises:
        InvalidTrace: `trace` is asked of a file that has no times.
        InvalidScenario: `spec` is none of the three.
    """
    if spec == "trace":
        if not trace.has_times:
            raise InvalidTrace(
                f"{trace.name} has lengths but no arrival times: say --arrivals poisson:RATE or --arrivals at-zero"
            )
        return trace
    if spec == "at-zero":
        return replace(trace, arrival_ns=np.zeros(len(trace), dtype=np.int64))
    if spec.startswith("poisson:"):
        return replace(trace, arrival_ns=poisson_ns(arrival_rate(spec), len(trace), seed))
    raise InvalidScenario(f"arrivals '{spec}': expected trace, at-zero or poisson:RATE")


def dealt_anew(trace: Trace, seed: int) -> Trace:
    """The same arrival times and the same requests, but who comes when is drawn anew: prompt and output stay together.

    What another seed means where nothing is drawn at random. Any drift of lengths that the trace has is lost.
    """
    order = np.random.default_rng([seed, _DEAL_STREAM]).permutation(len(trace))
    return replace(trace, prompt_tokens=trace.prompt_tokens[order], output_tokens=trace.output_tokens[order])


def poisson_ns(rate: float, count: int, seed: int) -> Column:
    """Arrival times of a Poisson stream of `rate` per second, the first one at 0."""
    rng = np.random.default_rng([seed, _ARRIVAL_STREAM])
    gaps = rng.exponential(NS / rate, count)
    times: Column = np.cumsum(gaps).astype(np.int64)
    return times - times[:1]


def scale_rate(trace: Trace, factor: float) -> Trace:
    """Multiply the arrival rate: the same sequence of requests, its time divided by `factor`."""
    if factor == 1.0:
        return trace
    return replace(trace, arrival_ns=np.rint(trace.arrival_ns / factor).astype(np.int64))


def arrival_rate(spec: str) -> float:
    """Requests per second of `poisson:RATE`. Raises InvalidScenario."""
    try:
        rate = float(spec.partition(":")[2])
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise InvalidScenario(f"arrivals '{spec}': the rate after poisson: must be a positive number")
    return rate
