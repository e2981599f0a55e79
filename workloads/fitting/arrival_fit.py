"""Arrival processes fitted to a trace, and what the chosen one does not imitate."""

import math
from collections.abc import Callable

import msgspec
import numpy as np

from ..models.arrival_processes import Gamma, Poisson, Process, Weibull, arrivals_ns
from ..quantities import NS
from ..trace import Column
from ..trace.summary import dispersion
from .distances import ks_distance
from .hidden_rate_fit import fit_hidden_rate

_FEWEST_DRAWN, _MOST_DRAWN = 10_000, 100_000  # gaps drawn from a model to represent its distribution
_FEWEST_WINDOWS = 20  # with fewer windows of a length, their dispersion is not compared


class ArrivalCandidate(msgspec.Struct, frozen=True):
    """A process with the parameters that fit the trace best.

    Attributes:
        ks: the Kolmogorov-Smirnov distance of its gaps to those of the trace.
        cv, idc: of a long sample of the process, as in `ArrivalFit`.
        remarks: where the process contradicts the trace.
    """

    process: Process
    ks: float
    cv: float
    idc: dict[str, float]
    remarks: tuple[str, ...]


class ArrivalFit(msgspec.Struct, frozen=True):
    """The arrivals of a trace beside those of the models, simplest first.

    Attributes:
        rate: in requests/s.
        cv: the coefficient of variation of the gaps.
        idc: the index of dispersion of counts over windows of 1, 10 and 60 s.
    """

    rate: float
    cv: float
    idc: dict[str, float]
    chosen: ArrivalCandidate
    candidates: tuple[ArrivalCandidate, ...]


def fit_arrivals(arrival_ns: Column, seed: int) -> ArrivalFit | None:
    """Fit Poisson, gamma and Weibull processes and a hidden rate; None for fewer than two gaps, or if all gaps are 0.

    Poisson is chosen if the trace does not contradict it. Otherwise the process with the fewest contradictions is
    chosen, and among equals the one whose gaps have the smallest distance.
    """
    gaps = np.diff(arrival_ns)
    if len(gaps) < 2 or not gaps.any():
        return None
    rate = NS / float(gaps.mean())
    cv = float(gaps.std() / gaps.mean())
    processes: list[Process | None] = [Poisson(rate), fit_hidden_rate(arrival_ns)]
    if cv > 0:
        processes[1:1] = [Gamma(rate, 1 / cv**2), Weibull(rate, _weibull_shape(cv))]
    idc = dispersion(arrival_ns)
    candidates = tuple(_compared(process, arrival_ns, idc, seed) for process in processes if process)
    return ArrivalFit(rate, cv, idc, min(candidates, key=_rank), candidates)


def _rank(candidate: ArrivalCandidate) -> tuple[int, bool, float]:
    is_plain = isinstance(candidate.process, Poisson) and not candidate.remarks
    return len(candidate.remarks), not is_plain, candidate.ks


def _compared(process: Process, arrival_ns: Column, idc: dict[str, float], seed: int) -> ArrivalCandidate:
    gaps = np.diff(arrival_ns)
    count = min(max(4 * len(gaps), _FEWEST_DRAWN), _MOST_DRAWN)
    times = arrivals_ns(process, count + 1, seed)
    drawn = np.diff(times)
    ks, model_idc = ks_distance(gaps, drawn), dispersion(times)
    bound = 1.63 * math.sqrt(1 / len(gaps) + 1 / count)  # 99 % of samples of the same process are within it
    remarks = []
    if ks > bound:
        remarks.append(f"the gaps differ from the trace by {ks:.3f} (KS), but chance explains only {bound:.3f}")
    for window, value in idc.items():
        windows = arrival_ns[-1] / (float(window.removesuffix("s")) * NS)
        model = model_idc.get(window)
        if windows >= _FEWEST_WINDOWS and model and not 0.5 < value / model < 2:
            remarks.append(
                f"counts over {window} have a dispersion of {value:.2f} in the trace, {model:.2f} in the model"
            )
    at_once = float((gaps == 0).mean())
    if at_once > 0.01:
        remarks.append(
            f"{at_once:.0%} of the requests arrive at the same time as the one before: dequantize the trace first"
        )
    return ArrivalCandidate(process, ks, float(drawn.std() / drawn.mean()), model_idc, tuple(remarks))


def _weibull_shape(cv: float) -> float:
    """The shape of the Weibull distribution with this coefficient of variation, within 0.1 to 100."""

    def log_excess(shape: float) -> float:
        return math.lgamma(1 + 2 / shape) - 2 * math.lgamma(1 + 1 / shape) - math.log1p(cv**2)

    return _root(log_excess, 0.1, 100.0)


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return math.sqrt(low * high)
