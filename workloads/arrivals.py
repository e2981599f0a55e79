"""When the requests of a trace arrive: as the trace says, all at once, or by a process."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..errors import InvalidScenario, InvalidTrace
from .arrival_processes import Gamma, OnOff, Poisson, Process, Weibull, arrivals_ns
from .trace import Trace
from .workload_model import built_in_workloads

ARRIVAL_FORMS = (
    "poisson:RATE, gamma:RATE:SHAPE, weibull:RATE:SHAPE, on-off:RATE:ON_S:OFF_S or a workload that has arrivals"
)
"""What `process_named` understands."""

_FORMS: dict[str, tuple[Callable[..., Process], int]] = {
    "poisson": (Poisson, 1),
    "gamma": (Gamma, 2),
    "weibull": (Weibull, 2),
    "on-off": (OnOff, 3),
}


def with_arrivals(trace: Trace, spec: str, seed: int) -> Trace:
    """The same requests, arriving as `spec` says: `trace`, `at-zero`, or a process in one of `ARRIVAL_FORMS`.

    Raises:
        InvalidTrace: `trace` is asked of a file that has no times.
        InvalidScenario: `spec` is none of them.
    """
    if spec == "trace":
        if not trace.has_times:
            raise InvalidTrace(
                f"{trace.name} has lengths but no arrival times: say --arrivals poisson:RATE or --arrivals at-zero"
            )
        return trace
    if spec == "at-zero":
        return replace(trace, arrival_ns=np.zeros(len(trace), dtype=np.int64))
    return replace(trace, arrival_ns=arrivals_ns(process_named(spec), len(trace), seed))


def are_drawn(spec: str) -> bool:
    """Whether arrivals of this specification change with the seed."""
    return spec not in ("trace", "at-zero")


def process_named(spec: str) -> Process:
    """The process of a short form, such as `gamma:5.5:0.87`, or that of a built-in workload. Raises InvalidScenario."""
    model = built_in_workloads().get(spec)
    if model and model.arrivals:
        return model.arrivals
    kind, *numbers = spec.split(":")
    make, count = _FORMS.get(kind, (None, 0))
    if make is None or len(numbers) != count:
        raise InvalidScenario(f"arrivals '{spec}': expected trace, at-zero, {ARRIVAL_FORMS}")
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        raise InvalidScenario(f"arrivals '{spec}': what follows {kind}: must be numbers") from None
    return make(*values)
