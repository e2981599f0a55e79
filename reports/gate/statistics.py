"""How much slower head is than base, and how sure that is: pure functions of samples.

The figure is the ratio of 5th percentiles, pooled over launches: on a shared machine the fast samples are the code's
own, the slow ones the neighbours'. Launches are what is resampled, since samples of one process resemble each other.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

QUANTILE = 0.05
IMPOSSIBLE = 0.8
"""A sample below this share of the pooled 5th percentile is the clock's fault."""

RESAMPLES = 2000
CONFIDENCE = 0.99


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of one benchmark.

    Attributes:
        base_s, head_s: pooled 5th percentiles, seconds a call.
        change: head over base less 1.
        interval: of the change, 99 %, two-sided, if this is the only look.
        p_value: one-sided: how often resampled launches show no slow-down.
        dropped: samples that no clock could rightly give.
    """

    base_s: float
    head_s: float
    change: float
    interval: tuple[float, float]
    p_value: float
    dropped: int

    def for_looks(self, looks: int) -> tuple[float, float]:
        """The interval that holds at 99 % over so many looks at once (Bonferroni).

        Its ends are moved out from the point by what that takes of a normal distribution: 2,000 resamples are too few
        to have percentiles that far out.
        """
        tail = (1 - CONFIDENCE) / 2
        factor = NormalDist().inv_cdf(tail / looks) / NormalDist().inv_cdf(tail)
        low, high = (self.change + factor * (end - self.change) for end in self.interval)
        return low, high


def estimate(name: str, base: Array, head: Array, resamples: int = RESAMPLES) -> Estimate:
    """From the samples of both sides, (launches, samples) of seconds; the name seeds the resampling."""
    sides = [_without_impossible(np.asarray(side, dtype=np.float64)) for side in (base, head)]
    weights = _resampled(zlib.crc32(name.encode()), len(base), resamples)
    once = np.ones((1, len(base)), dtype=np.int16)
    base_s, head_s = (float(low_quantiles(side, once)[0]) for side in sides)
    changes = low_quantiles(sides[1], weights) / low_quantiles(sides[0], weights) - 1
    low, high = np.percentile(changes, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    return Estimate(
        base_s=base_s,
        head_s=head_s,
        change=head_s / base_s - 1,
        interval=(float(low), float(high)),
        p_value=(1 + int((changes <= 0).sum())) / (1 + resamples),
        dropped=sum(int(np.isnan(side).sum()) for side in sides),
    )


def low_quantiles(samples: Array, weights: npt.NDArray[np.int16]) -> Array:
    """The pooled 5th percentile (a sample, not between two) where launch l counts `weights[:, l]` times; NaN is none.

    Sorted once for all resamples: each of them only walks up until it has seen its share.
    """
    per_launch = samples.shape[1]
    counts = np.count_nonzero(~np.isnan(samples), axis=1)
    wanted = np.maximum(np.ceil(QUANTILE * (weights @ counts)), 1)[:, None]
    order = np.argsort(samples, axis=None, kind="stable")[: counts.sum()]
    for share in (4 * QUANTILE, 1.0):
        first = order[: max(int(share * len(order)), per_launch)]
        seen = np.cumsum(weights[:, first // per_launch], axis=1, dtype=np.int32)
        if (seen[:, -1:] >= wanted).all():
            break
    found = samples.reshape(-1)[first[(seen < wanted).sum(axis=1)]]
    return np.asarray(found)


def adjusted_by_holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """So that at any level the chance of a single false alarm among all of them is below it."""
    adjusted, largest = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = largest
    return adjusted


def _without_impossible(samples: Array) -> Array:
    floor = IMPOSSIBLE * np.quantile(samples, QUANTILE)
    return np.where(samples < floor, np.nan, samples)


@lru_cache(maxsize=64)
def _resampled(seed: int, launches: int, resamples: int) -> npt.NDArray[np.int16]:
    """How often each launch is drawn: (resamples, launches)."""
    drawn = np.random.default_rng(seed).integers(launches, size=(resamples, launches))
    flat = drawn + launches * np.arange(resamples)[:, None]
    return np.bincount(flat.ravel(), minlength=resamples * launches).reshape(resamples, launches).astype(np.int16)
