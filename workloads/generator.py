"""Requests that imitate public traces: lengths from mixtures fitted to them, arrivals from simple processes.

Lengths are drawn from mixtures of two-dimensional Gaussians over (ln prompt, ln output), which keeps the dependence of
the two; then exp, round, and clip to the trace's own extremes. `data/mixtures.json` holds the parameters and, as `ks`,
the Kolmogorov distances of the fits to the data.
"""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
import numpy as np

from ..errors import InvalidScenario, UnknownName
from .arrivals import NS, arrival_rate, poisson_ns
from .trace import Column, Trace, TraceSource

# Azure's 2023 conversation trace as a Poisson stream whose rate (per second) follows a hidden Markov chain in steps of
# one second: it has the slow swell of the trace, which no renewal process has.
_HMM_RATES = (2.1122, 4.8299, 7.1540)
_HMM_STEPS = ((0.94358, 0.05642, 0.0), (0.00264, 0.9901, 0.00726), (0.0, 0.01368, 0.98632))
_HMM_START = (0.03, 0.6337, 0.3363)

_CHOICE, _LENGTHS, _ARRIVALS = 1, 2, 3  # streams of one seed, drawn independently of each other


class Component(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A share of the requests, with the lengths of one mixture; longer prompts than the limit are clipped to it."""

    mixture: str
    share: float = 1.0
    max_prompt_tokens: int = 0


class GeneratorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to generate. `arrivals` is `azure-conv` (the trace's swell), `poisson:RATE`, or empty: lengths alone."""

    components: list[Component]
    arrivals: str = ""


class _Mixture(msgspec.Struct, frozen=True):
    clip: tuple[int, int]
    w: list[float]
    mean_ln: list[tuple[float, float]]
    cov_ln: list[tuple[float, float, float]]
    ks: dict[str, float]


@cache
def _mixtures() -> dict[str, _Mixture]:
    text = (files(__package__) / "data" / "mixtures.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, _Mixture])


def mixture_names() -> list[str]:
    """Every length model."""
    return list(_mixtures())


def generate(spec: GeneratorSpec, *, requests: int, seed: int, max_new_tokens: int) -> Trace:
    """Draw `requests` requests. The same arguments give the same trace.

    Raises:
        UnknownName: a mixture that there is not.
        InvalidScenario: no component, a share that is not positive, or an arrival process that there is not.
    """
    _check(spec, requests)
    shares = np.array([component.share for component in spec.components])
    chosen = np.random.default_rng([seed, _CHOICE]).choice(len(shares), requests, p=shares / shares.sum())
    prompt = np.zeros(requests, dtype=np.int64)
    output = np.zeros(requests, dtype=np.int64)
    clipped = 0
    for index, component in enumerate(spec.components):
        mine = chosen == index
        rng = np.random.default_rng([seed, _LENGTHS, index])
        prompt[mine], output[mine], cut = _draw_lengths(component, int(mine.sum()), rng)
        clipped += cut
    over = int((output > max_new_tokens).sum())
    repaired = {"length_clipped_to_the_range_of_its_mixture": clipped, "output_clipped_to_max_new_tokens": over}
    text = msgspec.json.encode([spec, requests, seed, max_new_tokens])
    return Trace(
        name="+".join(component.mixture for component in spec.components),
        arrival_ns=_arrivals(spec.arrivals, requests, seed),
        prompt_tokens=prompt,
        output_tokens=np.minimum(output, max_new_tokens),
        max_new_tokens=max_new_tokens,
        has_times=bool(spec.arrivals),
        source=TraceSource(
            path="generated",
            sha256=hashlib.sha256(text).hexdigest(),
            format="generated",
            rows_read=requests,
            kept=requests,
            repaired={reason: count for reason, count in repaired.items() if count},
        ),
    )


def _check(spec: GeneratorSpec, requests: int) -> None:
    if not spec.components:
        raise InvalidScenario("workload: components is empty, expected at least one")
    if requests < 1:
        raise InvalidScenario(f"requests is {requests}, expected at least 1")
    for component in spec.components:
        if component.mixture not in _mixtures():
            raise UnknownName("mixture", component.mixture, _mixtures())
        if not component.share > 0:
            raise InvalidScenario(f"workload: share of {component.mixture} is {component.share:g}, expected > 0")


def _draw_lengths(component: Component, count: int, rng: np.random.Generator) -> tuple[Column, Column, int]:
    mixture = _mixtures()[component.mixture]
    weights = np.array(mixture.w)
    which = rng.choice(len(weights), count, p=weights / weights.sum())
    mean, cov = np.array(mixture.mean_ln)[which], np.array(mixture.cov_ln)[which]
    z = rng.standard_normal((count, 2))
    # The Cholesky factor of [[v_p, c], [c, v_o]], written out: one row a request.
    first = np.sqrt(cov[:, 0])
    slope = cov[:, 1] / first
    rest = np.sqrt(np.maximum(cov[:, 2] - slope**2, 0))
    logs = mean + np.stack([first * z[:, 0], slope * z[:, 0] + rest * z[:, 1]], axis=1)
    drawn = np.rint(np.exp(logs)).astype(np.int64)
    limit = np.array([component.max_prompt_tokens or mixture.clip[0], mixture.clip[1]])
    lengths: Column = np.clip(drawn, 1, limit)
    return lengths[:, 0], lengths[:, 1], int((lengths != drawn).any(axis=1).sum())


def _arrivals(process: str, count: int, seed: int) -> Column:
    if not process:
        return np.zeros(count, dtype=np.int64)
    if process == "azure-conv":
        return _swelling_ns(count, np.random.default_rng([seed, _ARRIVALS]))
    if process.startswith("poisson:"):
        return poisson_ns(arrival_rate(process), count, seed)
    raise InvalidScenario(f"workload: arrivals '{process}', expected azure-conv or poisson:RATE")


def _swelling_ns(count: int, rng: np.random.Generator) -> Column:
    times: list[Any] = []
    drawn = second = 0
    state = int(rng.choice(3, p=_HMM_START))
    while drawn < count:
        batch = np.sort(rng.random(int(rng.poisson(_HMM_RATES[state]))))
        times.append(second + batch)
        drawn, second = drawn + len(batch), second + 1
        state = int(rng.choice(3, p=_HMM_STEPS[state]))
    arrival_ns: Column = (np.concatenate(times)[:count] * NS).astype(np.int64)
    arrival_ns -= arrival_ns[0]
    return arrival_ns
