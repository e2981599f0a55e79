"""Fits step times to the request log of another engine. Such a log has times of requests, but no measured steps.

The time from a request's arrival to its first token is the sum of the steps in between; so is the time from its first
to its last token. The duration of a step is linear in the rates of `sim/step_time`. Which steps there were, and what
each computed, depends on the scheduler and so on the step times. Two phases alternate until the rates change little:

1. Simulate the log's requests with the current rates. For each request, add up what its steps computed.
2. Find the non-negative rates with which these sums are closest to the times of the log. Move towards these rates as
   far as the simulated times improve. (Near an engine's capacity slightly slower steps let the queue grow, and the
   steps become different ones.)

The first rates are the roofline's. A rate that the log has no evidence for (it may hold no chunk, or never a full
batch) stays close to its first value.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...csrc import PolicySpec, RooflineStepTime
from ...errors import InvalidProfile
from ...experiment import Experiment
from ...records import Columns, Run
from ...workloads import RequestLog
from ..simulate import simulate
from ..step_time import Rates, RegionError
from ..step_time.roofline import FS_PER_NS, analytic_rates
from .least_squares import Array, non_negative
from .request_log import align_clocks
from .step_fit import CROSSINGS, region_errors

_Rates = dict[str, Any]
"""Rates in femtoseconds, by name, as `RooflineStepTime` takes them."""

_FEWEST = 20
_ROUNDS = 24
_ENOUGH, _SMALLEST_STEP = 0.002, 1 / 16
_FOLDS = 5
_PULL = 0.03
"""How strongly each rate is pulled to its first value: a change of 100 % costs as much as errors of 3 % everywhere."""

_STEPS_TO_WAIT = 5
"""Errors are relative to a time only if it is longer than 5 steps: requests arrive in the middle of a step."""

_DISTURBED = 3.0  # from 3 median errors on, a time weighs less

TTFT, DECODING = "to the first token", "from the first to the last token"


@dataclass(frozen=True, slots=True)
class LogFit:
    """Fitted rates, and their cross-validated errors on times that they were not fitted to."""

    rates: Rates
    error: dict[str, RegionError]


class _Model:
    """A `StepTime` of the current rates."""

    def __init__(self, rates: _Rates) -> None:
        self.rates = RooflineStepTime(**rates)
        self.cumulative_fs = self.rates.cumulative_fs
        self.description = "rates that are being fitted to a log"


def fit_log(
    log: RequestLog, experiment: Experiment, policy: PolicySpec, *, on_round: Callable[[int, int], None] | None = None
) -> LogFit:
    """Fit to the times of a log.

    Args:
        experiment: the log's requests under the limits of the engine.
        policy: the policy that is closest to the engine's scheduler; `paged` for vLLM.
        on_round: called after each round with the number of rounds done and the most that there will be.

    Raises:
        InvalidProfile: too few requests in the log, or too few that also finish in the simulation.
    """
    if len(log.trace) < _FEWEST:
        raise InvalidProfile(f"the log has {len(log.trace)} requests, a fit needs at least {_FEWEST}")
    geometry = experiment.memory.geometry
    first = {**dict.fromkeys(Rates.__struct_fields__, 0), **analytic_rates(geometry, experiment.device)}
    head = first["sample_fs"] / first["token_fs"]
    rates, sums, off = first, *_simulated_sums(log, experiment, policy, first, head)
    if len(np.unique(sums.request[~sums.is_ttft | ~np.bool_(sums.unknown_shift)])) < _FEWEST:
        raise InvalidProfile(
            f"fewer than {_FEWEST} requests of the log have a known time: its clocks differ, and outputs have one token"
        )
    step, wanted = 1.0, _fit(sums, first, head)
    for number in range(_ROUNDS):
        tried = {name: round(rate + step * (wanted[name] - rate)) for name, rate in rates.items()}
        tried_sums, tried_off = _simulated_sums(log, experiment, policy, tried, head)
        if on_round:
            on_round(number + 1, _ROUNDS)
        if tried_off < off:
            gain, (rates, sums, off) = off - tried_off, (tried, tried_sums, tried_off)
            if gain < _ENOUGH * off:
                break
            step, wanted = 1.0, _fit(sums, first, head)
        else:
            step /= 2
            if step < _SMALLEST_STEP:
                break
    return LogFit(Rates(**rates), _cross_validated(sums, first, head))


def _simulated_sums(
    log: RequestLog, experiment: Experiment, policy: PolicySpec, rates: _Rates, head: float
) -> "tuple[_Sums, float]":
    """Simulate; return what was computed between the times of the log, and the mean weighted error of the times."""
    run = simulate(experiment, policy, step_time=_Model(rates), macro_steps=False, plan_ahead=True)
    r = run.requests
    if (r["finish_ns"] >= 0).sum() < _FEWEST:
        raise InvalidProfile(
            f"fewer than {_FEWEST} requests of the log finish in its simulation: check the model and the limits"
        )
    sums = _Sums.of(run, align_clocks(log, run), head)
    waited = (r["first_token_ns"] - r["arrival_ns"])[sums.request]
    decoded = (r["finish_ns"] - r["first_token_ns"])[sums.request]
    simulated = np.where(sums.is_ttft, waited, decoded)
    return sums, float(np.mean(np.abs(simulated - sums.measured_ns) * sums.weights))


@dataclass(frozen=True, slots=True)
class _Sums:
    """What the steps of each time in the log computed; one row for each time.

    Attributes:
        parts: (rows, parts): amounts, in the order of `_PARTS`.
        products: (rows, crossings): tokens of the matrix products, each step counted with at least `crossing` tokens.
        measured_ns: (rows,): the times of the log.
        request: (rows,): the request of each time.
        is_ttft: (rows,): whether the time is to the first token, or from the first to the last.
        unknown_shift: whether the log's arrivals and tokens have different clocks.
        usual_ns: the median duration of a decode step.
    """

    parts: Array
    products: Array
    measured_ns: Array
    request: np.ndarray[tuple[int], np.dtype[np.int64]]
    is_ttft: np.ndarray[tuple[int], np.dtype[np.bool_]]
    unknown_shift: bool
    usual_ns: float

    @classmethod
    def of(cls, run: Run, log: RequestLog, head: float) -> "_Sums":
        """The sums of the requests that also finished in the simulation.

        Args:
            head: cost of one row of the output head, in tokens of the other products.
        """
        r, steps = run.requests, run.steps
        done = np.flatnonzero(r["finish_ns"] >= 0)
        several = done[r["output_tokens"][done] > 1]
        at = _Cumulated(steps, head)
        arrival, first, last = (r[name].astype(np.float64) for name in ("arrival_ns", "first_token_ns", "finish_ns"))
        spans = (
            (done, arrival, first, log.first_ns - log.trace.arrival_ns),
            (several, first, last, log.last_ns - log.first_ns),
        )
        summed = [at(end[who]) - at(begin[who]) for who, begin, end, _ in spans]
        everything = np.concatenate(summed)
        decoding = steps["duration_ns"][(steps["decode_rows"] > 0) & (steps["prefill_tokens"] == 0)]
        return cls(
            parts=everything[:, len(CROSSINGS) :],
            products=everything[:, : len(CROSSINGS)],
            measured_ns=np.concatenate([measured[who] for who, _, _, measured in spans]).astype(np.float64),
            request=np.concatenate([done, several]),
            is_ttft=np.repeat([True, False], [len(done), len(several)]),
            unknown_shift=not log.same_clock,
            usual_ns=float(np.median(decoding)) if len(decoding) else 1e6,
        )

    def where(self, mask: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> "_Sums":
        return _Sums(
            self.parts[mask],
            self.products[mask],
            self.measured_ns[mask],
            self.request[mask],
            self.is_ttft[mask],
            self.unknown_shift,
            self.usual_ns,
        )

    @property
    def weights(self) -> Array:
        """(rows,): the inverse of each time plus the resolution of times."""
        return np.asarray(1 / (np.maximum(self.measured_ns, 0) + _STEPS_TO_WAIT * self.usual_ns))


_PARTS = (
    *("fresh_pair_fs", "continued_pair_fs", "chunk_context_fs", "context_fs", "swap_fs"),
    *("overhead_fs", "prefill_fs", "mixed_fs"),
)


class _Cumulated:
    """What a run's steps computed up to any moment. The work of a step is spread evenly over its duration."""

    def __init__(self, steps: Columns, head: float) -> None:
        c = {name: column.astype(np.float64) for name, column in steps.items()}
        work = c["prefill_tokens"] + c["decode_rows"] + head * c["sampled_rows"]
        prefills = (c["prefill_tokens"] > 0).astype(np.float64)
        parts = [np.maximum(work, crossing) for crossing in CROSSINGS] + [
            c["fresh_pairs"],
            c["prefill_pairs"] - c["fresh_pairs"],
            c["prefill_context"],
            c["context_tokens"],
            c["swap_bytes"],
            np.ones(len(work)),
            prefills,
            prefills * (c["decode_rows"] > 0),
        ]
        starts, ends = c["start_ns"], c["start_ns"] + c["duration_ns"]
        self._at = np.column_stack([starts, ends]).reshape(-1)
        each = np.column_stack(parts)
        total = np.cumsum(each, axis=0)
        self._total = np.stack([total - each, total], axis=1).reshape(2 * len(each), -1)

    def __call__(self, moments: Array) -> Array:
        """The work up to each moment, shape (moments, crossings and parts)."""
        return np.column_stack([np.interp(moments, self._at, column) for column in self._total.T])


def _fit(sums: _Sums, first: _Rates, head: float) -> _Rates:
    """The rates with which the sums are closest to the times; outliers weigh less."""
    robust = np.ones(len(sums.measured_ns))
    for _ in range(2):
        rates, left = _solve(sums, first, head, sums.weights * robust)
        off = np.abs(left / robust)
        robust = 1 / np.sqrt(np.maximum(off / (_DISTURBED * max(float(np.median(off)), 1e-4)), 1))
    return rates


def _solve(sums: _Sums, first: _Rates, head: float, weights: Array) -> tuple[_Rates, Array]:
    """The rates and the weighted residual of each time. Each rate is pulled to its first value."""
    scales = np.array([first["token_fs"], *(first[name] or first["overhead_fs"] for name in _PARTS)], dtype=np.float64)
    initial = np.array([1.0, *(float(first[name] > 0) for name in _PARTS)])
    pull = _PULL * np.sqrt(len(weights)) * np.ones(len(scales))
    shift = [sums.is_ttft, -1.0 * sums.is_ttft] if sums.unknown_shift else []
    best: tuple[float, int, Array, Array] | None = None
    for number, crossing in enumerate(CROSSINGS):
        times = np.column_stack([sums.products[:, number], sums.parts]) * scales / FS_PER_NS
        times = np.column_stack([times, *(np.asarray(each) * sums.usual_ns for each in shift)]) * weights[:, None]
        pulls = np.column_stack([np.diag(pull), np.zeros((len(pull), len(shift)))])
        target = np.concatenate([sums.measured_ns * weights, pull * initial])
        found = non_negative(np.concatenate([times, pulls]), target)
        left = sums.measured_ns * weights - times @ found
        missed = float(np.square(left).sum() + np.square(pull * (found[: len(pull)] - initial)).sum())
        if best is None or missed < best[0]:
            best = missed, crossing, found, left
    assert best is not None
    _, crossing, found, left = best
    token, *parts = (round(rate) for rate in found[: len(scales)] * scales)
    rates = {"weights_fs": token * crossing, "token_fs": token, "sample_fs": round(token * head)}
    return rates | dict(zip(_PARTS, parts, strict=True)), left


def _predicted_ns(sums: _Sums, rates: _Rates) -> Array:
    """(rows,): each time as the rates predict it, if the steps in between stay the same."""
    crossing = rates["weights_fs"] // max(rates["token_fs"], 1)
    number = int(np.argmin(np.abs(np.array(CROSSINGS) - crossing)))
    parts = np.array([rates[name] for name in _PARTS], dtype=np.float64)
    return np.asarray((sums.products[:, number] * rates["token_fs"] + sums.parts @ parts) / FS_PER_NS)


def _cross_validated(sums: _Sums, first: _Rates, head: float) -> dict[str, RegionError]:
    folds = sums.request % _FOLDS
    predicted = np.zeros(len(folds))
    for fold in range(_FOLDS):
        held_out = folds == fold
        predicted[held_out] = _predicted_ns(sums.where(held_out), _fit(sums.where(~held_out), first, head))
    known = (sums.measured_ns > 0) & ~(sums.is_ttft & sums.unknown_shift)
    regions = {"all": known, TTFT: known & sums.is_ttft, DECODING: known & ~sums.is_ttft}
    return region_errors(predicted, np.maximum(sums.measured_ns, 1), regions)
