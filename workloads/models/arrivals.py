"""The arrivals of a trace: its own, all at once, from an arrival process, or from users."""

from collections.abc import Callable

import numpy as np

from ...errors import InvalidScenario, InvalidTrace
from ..trace import Trace, starts_ns
from ..trace.loops import begun_at, by_users, check_users
from .arrival_processes import Gamma, OnOff, Poisson, Process, Weibull, arrivals_ns
from .workload_model import built_in_workloads

ARRIVAL_FORMS = (
    "poisson:RATE, gamma:RATE:SHAPE, weibull:RATE:SHAPE, on-off:RATE:ON_S:OFF_S or a workload that has arrivals"
)
"""The arrival processes that `process_named` reads."""

USERS_FORM = "users:N[:PAUSE_S]"
"""A closed loop of N users: each waits for an answer, pauses, and sends its next request."""

_FORMS: dict[str, tuple[Callable[..., Process], int]] = {
    "poisson": (Poisson, 1),
    "gamma": (Gamma, 2),
    "weibull": (Weibull, 2),
    "on-off": (OnOff, 3),
}


def with_arrivals(trace: Trace, spec: str, seed: int) -> Trace:
    """The same requests with other arrivals. In a closed loop only the first request gets one.

    Args:
        spec: `trace` (as they are), `at-zero`, users in `USERS_FORM`, or a process in one of `ARRIVAL_FORMS`.

    Raises:
        InvalidTrace: `spec` is `trace`, but the trace has no times.
        InvalidScenario: `spec` is something else.
    """
    if spec == "trace":
        if not trace.has_times:
            raise InvalidTrace(
                f"{trace.name} has lengths but no arrival times: give --arrivals poisson:RATE, users:N or at-zero"
            )
        return trace
    if spec == "at-zero":
        return begun_at(trace, np.zeros_like(starts_ns(trace)))
    kind, *numbers = spec.split(":")
    if kind == "users":
        return by_users(trace, *_users(spec, numbers), seed)
    return begun_at(trace, arrivals_ns(process_named(spec), len(starts_ns(trace)), seed))


def check_arrivals(spec: str) -> None:
    """Raises InvalidScenario: `with_arrivals` does not accept this specification."""
    kind, *numbers = spec.split(":")
    if kind == "users":
        check_users(*_users(spec, numbers))
    elif are_drawn(spec):
        process_named(spec)


def _users(spec: str, numbers: list[str]) -> tuple[int, float]:
    try:
        users, pause_s = int(numbers[0]), float(numbers[1]) if len(numbers) > 1 else 0.0
    except (ValueError, IndexError):
        users, numbers = 0, []
    if not 1 <= len(numbers) <= 2:
        raise InvalidScenario(f"arrivals '{spec}': expected {USERS_FORM}, such as users:8 or users:8:2.5")
    return users, pause_s


def are_drawn(spec: str) -> bool:
    """Whether the seed changes arrivals of this specification."""
    return spec not in ("trace", "at-zero")


def have_users(spec: str) -> bool:
    """Whether these arrivals are a closed loop of users, who send at no rate: `users:N`."""
    return spec.startswith("users")


def process_named(spec: str) -> Process:
    """The process in a short form, such as `gamma:5.5:0.87`, or of a built-in workload. Raises InvalidScenario."""
    model = built_in_workloads().get(spec)
    if model and model.arrivals:
        return model.arrivals
    kind, *numbers = spec.split(":")
    make, count = _FORMS.get(kind, (None, 0))
    if make is None or len(numbers) != count:
        raise InvalidScenario(f"arrivals '{spec}': expected trace, at-zero, {USERS_FORM}, {ARRIVAL_FORMS}")
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        raise InvalidScenario(f"arrivals '{spec}': expected numbers after {kind}:") from None
    return make(*values)
