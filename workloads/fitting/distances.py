"""The distance of two samples, and the correlation of two columns."""

from typing import Any

import numpy as np

Sample = np.ndarray[Any, Any]


def ks_distance(one: Sample, other: Sample) -> float:
    """The Kolmogorov-Smirnov distance: the largest difference of the two empirical distribution functions."""
    at = np.unique(np.concatenate([one, other]))
    shares = [np.searchsorted(np.sort(sample), at, "right") / len(sample) for sample in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


def spearman(one: Sample, other: Sample) -> float | None:
    """The rank correlation, with averaged ranks for equal values; None where a column has only one value."""
    first, second = _ranks(one), _ranks(other)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(column: Sample) -> Sample:
    _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
    ranks: Sample = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks
