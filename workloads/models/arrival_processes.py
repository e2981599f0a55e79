"""Arrival processes. A model file names one, as in `{"process": "gamma", "rate": 5.5, "shape": 0.9}`.

Rates are in requests per second. Each kind of process has its own random stream; the first request arrives at 0.
"""

import math
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from ...errors import InvalidScenario
from .. import streams
from ..quantities import NS
from ..streams import stream
from ..trace import Column

_HOUR_S = 3600

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Times = np.ndarray[Any, np.dtype[np.float64]]


class Poisson(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="process", tag="poisson"):
    """Independent requests: gaps are exponential, and counts have an index of dispersion of 1 over all windows."""

    rate: Positive

    def __post_init__(self) -> None:
        _check_positive("poisson", rate=self.rate)


class Gamma(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="process", tag="gamma"):
    """Independent gaps with a gamma distribution; their coefficient of variation is 1 / sqrt(shape)."""

    rate: Positive
    shape: Positive

    def __post_init__(self) -> None:
        _check_positive("gamma", rate=self.rate, shape=self.shape)


class Weibull(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="process", tag="weibull"):
    """Independent gaps with a Weibull distribution: burstier than Poisson for shapes below 1, more regular above."""

    rate: Positive
    shape: Positive

    def __post_init__(self) -> None:
        _check_positive("weibull", rate=self.rate, shape=self.shape)
        if self.shape < 0.05:
            raise InvalidScenario(f"arrivals weibull: shape is {self.shape:g}, expected at least 0.05")


class PoissonHmm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="process", tag="poisson-hmm"):
    """A Poisson process whose rate follows a hidden Markov chain: it varies slowly, as no renewal process does.

    Attributes:
        rates: one rate per state.
        transitions: row i has the probabilities of the next state, one step after state i.
        start: the probabilities of the first state.
        step_s: the length of a step; a state lasts at least one.
    """

    rates: tuple[Positive, ...]
    transitions: tuple[tuple[NotNegative, ...], ...]
    start: tuple[NotNegative, ...]
    step_s: Positive = 1.0

    def __post_init__(self) -> None:
        _check_positive("poisson-hmm", step_s=self.step_s, **{f"rates[{i}]": rate for i, rate in enumerate(self.rates)})
        if not all(1e-4 <= rate * self.step_s <= 1e6 for rate in self.rates):
            raise InvalidScenario("arrivals poisson-hmm: rates must be 0.0001 to 1,000,000 requests per step")
        states = len(self.rates)
        rows = (*self.transitions, self.start)
        if not states or len(self.transitions) != states or any(len(row) != states for row in rows):
            raise InvalidScenario(
                f"arrivals poisson-hmm: rates has {states} states, so transitions and start must have as many"
            )
        if any(min(row) < 0 or not math.isclose(sum(row), 1, abs_tol=1e-8) for row in rows):
            raise InvalidScenario("arrivals poisson-hmm: each row of transitions, and start, must sum to 1")


class OnOff(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="process", tag="on-off"):
    """Bursts: a Poisson process of `rate` while on and of `off_rate` while off, for exponential times.

    Attributes:
        on_s: the mean length of a burst.
        off_s: the mean length of a pause.
    """

    rate: Positive
    on_s: Positive
    off_s: Positive
    off_rate: NotNegative = 0.0

    def __post_init__(self) -> None:
        _check_positive("on-off", rate=self.rate, on_s=self.on_s, off_s=self.off_s)
        if not 0 <= self.off_rate < math.inf:
            raise InvalidScenario(f"arrivals on-off: off_rate is {self.off_rate:g}, expected 0 or more")
        if not 1e-4 <= self.rate * self.on_s < math.inf:
            raise InvalidScenario(f"arrivals on-off: {self.rate * self.on_s:g} requests per burst, expected >= 0.0001")


Renewal = Poisson | Gamma | Weibull


class Hourly(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="process", tag="hourly"):
    """A renewal process whose rate changes with the hour of the day.

    Attributes:
        profile: 24 relative rates from midnight on, on any scale.
        renewal: the process in rescaled time; its rate is the mean over a day.
        start_hour: the hour of the day at which the first request arrives.
    """

    profile: tuple[NotNegative, ...]
    renewal: Renewal
    start_hour: float = 0.0

    def __post_init__(self) -> None:
        if len(self.profile) != 24 or not min(self.profile) >= 0 or not 0 < sum(self.profile) < math.inf:
            raise InvalidScenario("arrivals hourly: profile must have 24 rates of 0 or more, not all 0")
        if not 0 <= self.start_hour < 24:
            raise InvalidScenario(f"arrivals hourly: start_hour is {self.start_hour:g}, expected 0 to below 24")


Process = Poisson | Gamma | Weibull | PoissonHmm | OnOff | Hourly


def arrivals_ns(process: Process, count: int, seed: int) -> Column:
    """`count` arrival times in order, in nanoseconds; the first is 0. The same arguments give the same times.

    Raises:
        InvalidScenario: the last request would arrive later than int64 nanoseconds can say (292 years).
    """
    times: Times = _DRAW[type(process)](process, count, seed)
    if count and not times[-1] < 2**63:
        raise InvalidScenario(f"arrivals: {count} requests of {process} take longer than 292 years: raise the rate")
    arrival_ns: Column = times.astype(np.int64)
    return arrival_ns - arrival_ns[:1]


def _check_positive(process: str, **values: float) -> None:
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise InvalidScenario(f"arrivals {process}: {name} is {value:g}, expected a positive number")


def _unit_gaps(process: Renewal, rng: np.random.Generator, count: int) -> Times:
    """Gaps of mean 1."""
    match process:
        case Poisson():
            return rng.standard_exponential(count)
        case Gamma():
            return rng.standard_gamma(process.shape, count) / process.shape
        case Weibull():
            return rng.weibull(process.shape, count) / math.gamma(1 + 1 / process.shape)


def _renewal(process: Renewal, count: int, seed: int) -> Times:
    purpose = {Poisson: streams.POISSON, Gamma: streams.GAMMA, Weibull: streams.WEIBULL}[type(process)]
    times: Times = np.cumsum(_unit_gaps(process, stream(seed, purpose), count) * (NS / process.rate))
    return times


def _poisson_hmm(process: PoissonHmm, count: int, seed: int) -> Times:
    rng = stream(seed, streams.HIDDEN_RATE)
    times = []
    drawn = step = 0
    state = int(rng.choice(len(process.rates), p=process.start))
    while drawn < count:
        batch = np.sort(rng.random(int(rng.poisson(process.rates[state] * process.step_s))))
        times.append(step + batch)
        drawn, step = drawn + len(batch), step + 1
        state = int(rng.choice(len(process.rates), p=process.transitions[state]))
    found: Times = np.concatenate(times)[:count] * (process.step_s * NS)
    return found


def _on_off(process: OnOff, count: int, seed: int) -> Times:
    """A Poisson process of rate 1, its time stretched by the rates of the phases."""
    units = np.cumsum(stream(seed, streams.ON_OFF, 0).standard_exponential(count))
    phases = stream(seed, streams.ON_OFF, 1)
    on_first = phases.random() < process.on_s / (process.on_s + process.off_s)
    means = np.array([process.on_s, process.off_s] if on_first else [process.off_s, process.on_s])
    rates = np.array([process.rate, process.off_rate] if on_first else [process.off_rate, process.rate])
    lengths = np.zeros((0, 2))
    while (lengths * rates).sum() < units[-1]:
        lengths = np.concatenate([lengths, phases.standard_exponential((max(256, len(lengths)), 2)) * means])
    passed = np.concatenate([[0.0], np.cumsum(lengths * rates)])
    elapsed = np.concatenate([[0.0], np.cumsum(lengths)])
    times: Times = np.interp(units, passed, elapsed) * NS
    return times


def _hourly(process: Hourly, count: int, seed: int) -> Times:
    """A renewal process in rescaled time; a whole day has the same length on both clocks."""
    gaps = _unit_gaps(process.renewal, stream(seed, streams.HOURLY), count)
    hours = np.array(process.profile)
    passed = np.concatenate(
        [[0.0], np.cumsum(hours / hours.sum())]
    )  # the share of a day's requests that arrive before each hour
    days = (np.cumsum(gaps) - gaps[0]) / (process.renewal.rate * 24 * _HOUR_S)
    days += np.interp(process.start_hour, np.arange(25), passed)
    whole = np.floor(days)
    times: Times = (whole * 24 + np.interp(days - whole, passed, np.arange(25))) * (_HOUR_S * NS)
    times -= times[0]
    return times


_DRAW: dict[type, Callable[..., Times]] = {
    Poisson: _renewal,
    Gamma: _renewal,
    Weibull: _renewal,
    PoissonHmm: _poisson_hmm,
    OnOff: _on_off,
    Hourly: _hourly,
}
