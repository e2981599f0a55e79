"""How far two samples are apart, and how two columns hang together."""

from typing import Any

import numpy as np

Sample = np.ndarray[Any, Any]


def ks_distance(one: Sample, other: Sample) -> float:
    """Kolmogorov-Smirnov: the largest difference of the two empirical distribution functions."""
    at = np.unique(np.concatenate([one, other]))
    shares = [np.searchsorted(np.sort(sample), at, "right") / len(sample) for sample in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


def spearman(one: Sample, other: Sample) -> float | None:
    """Correlation of the ranks, those of equal values averaged; None where a column has one value only."""
    first, second = _ranks(one), _ranks(other)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(column: Sample) -> Sample:
    _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
    ranks: Sample = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks
