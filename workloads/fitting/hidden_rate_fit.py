"""A Poisson process with a hidden rate, fitted to arrivals by Baum-Welch on their counts."""

from typing import Any

import numpy as np

from ..models.arrival_processes import PoissonHmm
from ..quantities import NS
from ..trace import Column

STATES = 3
_MOST_STEPS = 4_000
_FEWEST_STEPS = 100
_ROUNDS = 50
_TOLERANCE = 1e-6  # of the mean log-likelihood of a step, between two rounds

Array = np.ndarray[Any, np.dtype[np.float64]]


def fit_hidden_rate(arrival_ns: Column) -> PoissonHmm | None:
    """The most likely chain of `STATES` rates, from a uniform start; None for fewer than 100 steps.

    A step is one second, or longer if the trace is long or has less than one request per second.
    """
    span_s = float(arrival_ns[-1] - arrival_ns[0]) / NS
    step_s = max(1.0, span_s / _MOST_STEPS, span_s / len(arrival_ns))
    steps = int(span_s // step_s)  # whole ones only
    if steps < _FEWEST_STEPS:
        return None
    places = ((arrival_ns - arrival_ns[0]) / (step_s * NS)).astype(np.int64)
    counts = np.bincount(places[places < steps], minlength=steps).astype(np.float64)
    means, transitions = _fitted(counts)
    start = np.linalg.matrix_power(transitions, 4096)[0]  # where the chain is in the long run
    return PoissonHmm(
        rates=tuple((means / step_s).tolist()),
        transitions=tuple(tuple((row / row.sum()).tolist()) for row in transitions),
        start=tuple((start / start.sum()).tolist()),
        step_s=step_s,
    )


def _fitted(counts: Array) -> tuple[Array, Array]:
    """The mean count of each state, in rising order, and the transitions."""
    smooth = np.convolve(counts, np.ones(15) / 15, mode="valid")
    means = np.maximum(np.quantile(smooth, (np.arange(STATES) + 0.5) / STATES), 1e-3)
    means *= np.linspace(0.9, 1.1, STATES)  # equal states would stay equal
    transitions = np.full((STATES, STATES), 0.05 / (STATES - 1))
    np.fill_diagonal(transitions, 0.95)
    before = -np.inf
    for _ in range(_ROUNDS):
        logs = counts[:, None] * np.log(means) - means  # without the terms that all states share, (steps, states)
        top = logs.max(axis=1, keepdims=True)
        likelihood, states, moves = _smoothed(np.exp(logs - top), transitions)
        likelihood += float(top.mean())
        if likelihood - before < _TOLERANCE:
            break
        before = likelihood
        means = np.maximum(states.T @ counts / np.maximum(states.sum(axis=0), 1e-9), 1e-3)
        transitions = (moves + 1e-6) / (moves + 1e-6).sum(axis=1, keepdims=True)
    order = np.argsort(means, kind="stable")
    return means[order], transitions[np.ix_(order, order)]


def _smoothed(likely: Array, transitions: Array) -> tuple[float, Array, Array]:
    """The forward-backward pass: the mean log-likelihood, states by step, and expected moves between states.

    Args:
        likely: (steps, states), the likelihood of each step's count under each state.
    """
    forward, backward, scale = np.empty_like(likely), np.ones_like(likely), np.empty(len(likely))
    belief = np.full(STATES, 1 / STATES)
    for step, row in enumerate(likely):
        belief = belief * row
        scale[step] = belief.sum()
        forward[step] = belief = belief / scale[step]
        belief = belief @ transitions
    for step in range(len(likely) - 1, 0, -1):
        backward[step - 1] = transitions @ (likely[step] * backward[step]) / scale[step]
    ahead = likely[1:] * backward[1:] / scale[1:, None]
    moves = transitions * (forward[:-1].T @ ahead)
    return float(np.log(scale).mean()), forward * backward, moves
