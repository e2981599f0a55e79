"""Estimates how much slower head is than base, with a confidence interval: pure functions of samples.

The estimate is the ratio of 5th percentiles, pooled over launches: on a shared machine the fast samples show the code,
and the slow ones show what other processes do. The bootstrap resamples whole launches, since samples of one process
resemble each other.
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
"""A sample below this share of the pooled 5th percentile is an error of the clock."""

RESAMPLES = 2000
CONFIDENCE = 0.99


@dataclass(frozen=True, slots=True)
class SlowdownEstimate:
    """How much slower head is in one benchmark.

    Attributes:
        base_s, head_s: pooled 5th percentiles, seconds a call.
        change: head_s / base_s - 1.
        interval: 99 % two-sided confidence interval of the change, if this is the only look at the samples.
        p_value: one-sided: the share of resamples that show no slow-down.
        dropped: number of samples that were dropped as errors of the clock.
    """

    base_s: float
    head_s: float
    change: float
    interval: tuple[float, float]
    p_value: float
    dropped: int

    def for_looks(self, looks: int) -> tuple[float, float]:
        """The interval that covers the change in 99 % of cases over so many looks together (Bonferroni).

        Its ends move away from the estimate by the factor that a normal distribution needs: 2,000 resamples are too few
        for percentiles that far out.
        """
        tail = (1 - CONFIDENCE) / 2
        factor = NormalDist().inv_cdf(tail / looks) / NormalDist().inv_cdf(tail)
        low, high = (self.change + factor * (end - self.change) for end in self.interval)
        return low, high


def estimate_slowdown(name: str, base: Array, head: Array, resamples: int = RESAMPLES) -> SlowdownEstimate:
    """Estimate the slow-down of one benchmark.

    Args:
        name: of the benchmark; seeds the resampling.
        base, head: seconds a call, (launches, samples) each.
    """
    sides = [_without_impossible(np.asarray(side, dtype=np.float64)) for side in (base, head)]
    weights = _resampled(zlib.crc32(name.encode()), len(base), resamples)
    once = np.ones((1, len(base)), dtype=np.int16)
    base_s, head_s = (float(low_quantiles(side, once)[0]) for side in sides)
    changes = low_quantiles(sides[1], weights) / low_quantiles(sides[0], weights) - 1
    low, high = np.percentile(changes, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    return SlowdownEstimate(
        base_s=base_s,
        head_s=head_s,
        change=head_s / base_s - 1,
        interval=(float(low), float(high)),
        p_value=(1 + int((changes <= 0).sum())) / (1 + resamples),
        dropped=sum(int(np.isnan(side).sum()) for side in sides),
    )


def low_quantiles(samples: Array, weights: npt.NDArray[np.int16]) -> Array:
    """The pooled 5th percentile of each resample, (resamples,): always a sample, never between two.

    All resamples share one sort, and each walks up the sorted samples until it has seen its share.

    Args:
        samples: seconds, (launches, samples); NaN is no sample.
        weights: how often each resample contains each launch, (resamples, launches).
    """
    per_launch = samples.shape[1]
    counts = np.count_nonzero(~np.isnan(samples), axis=1)
    wanted = np.maximum(np.ceil(QUANTILE * (weights @ counts)), 1).astype(np.int32)
    order = np.argsort(samples, axis=None, kind="stable")[: counts.sum()]
    by_launch = np.ascontiguousarray(weights.T, dtype=np.int32)
    seen, position = np.zeros((2, len(weights)), dtype=np.int32)
    for launch in order // per_launch:  # six times as fast as a cumulative sum along each resample
        seen += by_launch[launch]
        is_below = seen < wanted
        if not is_below.any():
            break
        position += is_below
    return np.asarray(samples.reshape(-1)[order[position]])


def adjusted_by_holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjustment: below a level of x, the chance of any false alarm among all benchmarks is at most x."""
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
    """How often each resample draws each launch, (resamples, launches)."""
    drawn = np.random.default_rng(seed).integers(launches, size=(resamples, launches))
    flat = drawn + launches * np.arange(resamples)[:, None]
    return np.bincount(flat.ravel(), minlength=resamples * launches).reshape(resamples, launches).astype(np.int16)
