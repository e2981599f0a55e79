"""Lognormal mixtures fitted to lengths by expectation-maximisation in two dimensions."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import streams
from ..models.length_mixture import LengthMixture
from ..streams import stream
from ..trace import Column

MOST_COMPONENTS = 6
MOST_FITTED = 20_000
"""A longer trace is fitted to a random sample of this size; distances are still those of the whole trace."""

# Many equal lengths would shrink the variance of a component to 0, and its likelihood would become infinite. This
# floor is the square of 1 % of a length.
_VARIANCE_FLOOR = 1e-4
_RESTARTS = 8
_ROUNDS = 200
_TOLERANCE = 1e-6  # of the mean log-likelihood of a request, between two rounds

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class MixtureFit:
    """The best mixture of a size, and its quality.

    Attributes:
        bic: the Bayesian information criterion, -2 ln(likelihood) + parameters x ln(requests); lower is better.
        fitted: the number of requests that it was fitted to.
    """

    mixture: LengthMixture
    bic: float
    fitted: int


def fit_mixtures(prompt: Column, output: Column, sizes: range, seed: int) -> dict[int, MixtureFit]:
    """A fit for each number of components, up to the number of different pairs of lengths."""
    logs = np.log(np.stack([prompt, output], axis=1).astype(np.float64))
    if len(logs) > MOST_FITTED:
        logs = logs[stream(seed, streams.FIT_SAMPLE).choice(len(logs), MOST_FITTED, replace=False)]
    distinct = len(np.unique(logs, axis=0))
    return {size: _best_of_restarts(logs, size, seed) for size in sizes if 1 <= size <= distinct}


def _best_of_restarts(logs: Array, size: int, seed: int) -> MixtureFit:
    restarts = 1 if size == 1 else _RESTARTS
    found = [_maximise(logs, _start(logs, size, stream(seed, streams.FIT_START, size, i))) for i in range(restarts)]
    likelihood, mixture = max(found, key=lambda fit: fit[0])
    parameters = 6 * size - 1
    bic = -2 * likelihood * len(logs) + parameters * float(np.log(len(logs)))
    return MixtureFit(mixture, bic, len(logs))


def _start(logs: Array, size: int, rng: np.random.Generator) -> Array:
    """Initial responsibilities, (requests, size): each request belongs to the nearest centre of k-means++."""
    scaled = logs / np.maximum(logs.std(axis=0), 1e-9)
    distances = _squares_to(scaled, scaled[rng.integers(len(scaled))])[:, None]
    while distances.shape[1] < size:
        nearest = distances.min(axis=1)
        centre = scaled[rng.choice(len(scaled), p=nearest / nearest.sum())]
        distances = np.concatenate([distances, _squares_to(scaled, centre)[:, None]], axis=1)
    nearest_centre: Array = np.eye(size)[distances.argmin(axis=1)]
    return nearest_centre


def _squares_to(points: Array, centre: Array) -> Array:
    squares: Array = ((points - centre) ** 2).sum(axis=1)
    return squares


def _maximise(logs: Array, responsibilities: Array) -> tuple[float, LengthMixture]:
    """Expectation-maximisation: the final mean log-likelihood, and the mixture."""
    x, y = logs.T
    moments = np.stack([x, y, x * x, x * y, y * y], axis=1)
    before = -np.inf
    for _ in range(_ROUNDS):
        weights, mean, cov = _maximised(moments, responsibilities)
        joint = np.log(weights) + _log_density(logs, mean, cov)  # (requests, components)
        top = joint.max(axis=1, keepdims=True)
        scaled = np.exp(joint - top)
        total = scaled.sum(axis=1, keepdims=True)
        likelihood = float((top + np.log(total)).mean())
        if likelihood - before < _TOLERANCE:
            break
        before, responsibilities = likelihood, scaled / total
    order = np.argsort(-weights, kind="stable")
    rows = [[tuple(round(float(v), 6) for v in row) for row in table[order]] for table in (mean, cov)]
    shares = tuple(round(float(w), 6) for w in weights[order])
    return likelihood, LengthMixture(shares, tuple(rows[0]), tuple(rows[1]))  # type: ignore[arg-type]


def _maximised(moments: Array, responsibilities: Array) -> tuple[Array, Array, Array]:
    """Weights, means and covariances (variance, covariance, variance) of the components."""
    mass = responsibilities.sum(axis=0) + 1e-9  # avoids a division by 0 for a component without requests
    x, y, xx, xy, yy = (responsibilities.T @ moments / mass[:, None]).T
    cov = np.stack([xx - x * x, xy - x * y, yy - y * y], axis=1)
    cov[:, [0, 2]] = np.maximum(cov[:, [0, 2]], 0) + _VARIANCE_FLOOR
    return mass / mass.sum(), np.stack([x, y], axis=1), cov


def _log_density(logs: Array, mean: Array, cov: Array) -> Array:
    """The log density of every point under every component, (requests, components)."""
    dx, dy = logs[:, :1] - mean[:, 0], logs[:, 1:] - mean[:, 1]
    var_x, both, var_y = cov.T
    determinant = var_x * var_y - both**2
    distance = (var_y * dx * dx - 2 * both * dx * dy + var_x * dy * dy) / determinant
    density: Array = -0.5 * (distance + np.log(determinant)) - np.log(2 * np.pi)
    return density
