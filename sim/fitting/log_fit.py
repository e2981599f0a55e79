"""Fits step times to what another engine wrote down of every request: no step of it was measured.

A log has sums. What passed between a request's arrival and its first token, and from there to its last, is the sum of
the steps in between, and each step's duration is linear in the rates of `sim/step_time.py`. Which steps those were, and
what each computed, says the scheduler, given step times. So the two take turns until neither changes any more:

1. simulate the log's requests with the rates so far, and add up, for every request, what its steps computed;
2. find the rates, none negative, with which these sums are the times in the log, and go there as far as simulations
   get better: near an engine's capacity a slightly slower step means a queue that grows, and far other steps.

The first rates are the roofline's. What the log says nothing about (there may be no chunk in it, or never a full batch)
stays close to them.
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
from ..step_time.profile import Rates, RegionError
from ..step_time.roofline import FS_PER_NS, analytic_rates
from .least_squares import Array, non_negative
from .request_log import align_clocks
from .step_fit import CROSSINGS, region_errors

_Rates = dict[str, Any]
"""By name, in femtoseconds, as `RooflineStepTime` takes them."""

_FEWEST = 20
_ROUNDS = 24
_ENOUGH, _SMALLEST_STEP = 0.002, 1 / 16
_FOLDS = 5
_PULL = 0.03
"""How much each rate is drawn to where it began: to be off by all of it weighs as much as errors of 3 % everywhere."""

_STEPS_TO_WAIT = 5
"""A time is worth telling apart by its share only if it is longer than so many steps: a request comes between two."""

_DISTURBED = 3.0  # times the median error: from there on a time weighs less

TTFT, DECODING = "to the first token", "from the first to the last token"


@dataclass(frozen=True, slots=True)
class LogFit:
    """Fitted rates, and how far they are off on times of requests that they were not fitted to."""

    rates: Rates
    error: dict[str, RegionError]


class _Model:
    """Rates, as what the simulator takes."""

    def __init__(self, rates: _Rates) -> None:
        self.rates = RooflineStepTime(**rates)
        self.cumulative_fs = self.rates.cumulative_fs
        self.description = "rates that are being fitted to a log"


def fit_log(
    log: RequestLog, experiment: Experiment, policy: PolicySpec, *, on_round: Callable[[int, int], None] | None = None
) -> LogFit:
    """Fit to the times of a log.

    Args:
        experiment: of the log's requests, under the limits that the engine had.
        policy: what its scheduler is like; `paged` for vLLM.
        on_round: told after each round, how many are done and of how many at most.

    Raises InvalidProfile: too few requests, or too few that also finish in a simulation.
    """
    if len(log.trace) < _FEWEST:
        raise InvalidProfile(f"{len(log.trace)} requests are too few to fit to: at least {_FEWEST}")
    geometry = experiment.memory.geometry
    first = {**dict.fromkeys(Rates.__struct_fields__, 0), **analytic_rates(geometry, experiment.device)}
    head = first["sample_fs"] / first["token_fs"]
    rates, sums, off = first, *_held_against(log, experiment, policy, first, head)
    if len(np.unique(sums.request[~sums.is_ttft | ~np.bool_(sums.unknown_shift)])) < _FEWEST:
        raise InvalidProfile(
            f"fewer than {_FEWEST} requests of the log have a time that is known: its clocks differ, and outputs are "
            "of one token"
        )
    step, wanted = 1.0, _fit(sums, first, head)
    for number in range(_ROUNDS):
        tried = {name: round(rate + step * (wanted[name] - rate)) for name, rate in rates.items()}
        tried_sums, tried_off = _held_against(log, experiment, policy, tried, head)
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


def _held_against(
    log: RequestLog, experiment: Experiment, policy: PolicySpec, rates: _Rates, head: float
) -> "tuple[_Sums, float]":
    """Simulate: what passed between the times of the log, and how far off the simulated times are, weighted."""
    run = simulate(experiment, policy, step_time=_Model(rates), macro_steps=False, plan_ahead=True)
    r = run.requests
    if (r["finish_ns"] >= 0).sum() < _FEWEST:
        raise InvalidProfile(
            f"fewer than {_FEWEST} requests of the log finish in its simulation: was it this model, with these limits?"
        )
    sums = _Sums.of(run, align_clocks(log, run), head)
    waited = (r["first_token_ns"] - r["arrival_ns"])[sums.request]
    decoded = (r["finish_ns"] - r["first_token_ns"])[sums.request]
    simulated = np.where(sums.is_ttft, waited, decoded)
    return sums, float(np.mean(np.abs(simulated - sums.measured_ns) * sums.weights))


@dataclass(frozen=True, slots=True)
class _Sums:
    """What the steps between two moments computed, one row for each time in the log.

    Attributes:
        parts: (rows, `_PARTS`): by what they cost.
        products: (rows, crossings): tokens of the products, of each step at least so many.
        measured_ns: (rows,).
        request, is_ttft: whose time it is, and which.
        usual_ns: of a step that decodes.
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
        """Of the requests that also finished in the simulation."""
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
        """One over what a time is, or over what can be told apart if that is longer."""
        return np.asarray(1 / (np.maximum(self.measured_ns, 0) + _STEPS_TO_WAIT * self.usual_ns))


_PARTS = (
    *("fresh_pair_fs", "continued_pair_fs", "chunk_context_fs", "context_fs", "swap_fs"),
    *("overhead_fs", "prefill_fs", "mixed_fs"),
)


class _Cumulated:
    """What a run's steps computed up to any moment, each step's evenly over its duration; in tokens and pairs."""

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
        """(moments, parts)."""
        return np.column_stack([np.interp(moments, self._at, column) for column in self._total.T])


def _fit(sums: _Sums, first: _Rates, head: float) -> _Rates:
    """The rates with which the sums are closest to the times."""
    robust = np.ones(len(sums.measured_ns))
    for _ in range(2):
        rates, left = _solve(sums, first, head, sums.weights * robust)
        off = np.abs(left / robust)
        robust = 1 / np.sqrt(np.maximum(off / (_DISTURBED * max(float(np.median(off)), 1e-4)), 1))
    return rates


def _solve(sums: _Sums, first: _Rates, head: float, weights: Array) -> tuple[_Rates, Array]:
    """Rates, and what is left of each time, weighted. Each rate is drawn to where it began, from nowhere to nothing."""
    scales = np.array([first["token_fs"], *(first[name] or first["overhead_fs"] for name in _PARTS)], dtype=np.float64)
    begun = np.array([1.0, *(float(first[name] > 0) for name in _PARTS)])
    pull = _PULL * np.sqrt(len(weights)) * np.ones(len(scales))
    shift = [sums.is_ttft, -1.0 * sums.is_ttft] if sums.unknown_shift else []
    best: tuple[float, int, Array, Array] | None = None
    for number, crossing in enumerate(CROSSINGS):
        told = np.column_stack([sums.products[:, number], sums.parts]) * scales / FS_PER_NS
        told = np.column_stack([told, *(np.asarray(each) * sums.usual_ns for each in shift)]) * weights[:, None]
        drawn = np.column_stack([np.diag(pull), np.zeros((len(pull), len(shift)))])
        target = np.concatenate([sums.measured_ns * weights, pull * begun])
        found = non_negative(np.concatenate([told, drawn]), target)
        left = sums.measured_ns * weights - told @ found
        missed = float(np.square(left).sum() + np.square(pull * (found[: len(pull)] - begun)).sum())
        if best is None or missed < best[0]:
            best = missed, crossing, found, left
    assert best is not None
    _, crossing, found, left = best
    token, *parts = (round(rate) for rate in found[: len(scales)] * scales)
    rates = {"weights_fs": token * crossing, "token_fs": token, "sample_fs": round(token * head)}
    return rates | dict(zip(_PARTS, parts, strict=True)), left


def _predicted_ns(sums: _Sums, rates: _Rates) -> Array:
    """Of each time, if the steps in between were those that were summed."""
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
