"""The smallest slow-down that the timed class detects, from resampled launches of a program against itself."""

import math
import zlib
from collections.abc import Sequence

import numpy as np

from .decision import TimingRule
from .pairs import Launch
from .statistics import Array, estimate_slowdown

POWER = 0.99
FALSE_ALARMS = 0.01

_GATES = 400  # resampled gates: enough for a 99th percentile
_RESAMPLES = 500


def detectable_slowdowns(launches: Sequence[Launch], rule: TimingRule) -> dict[str, float]:
    """By benchmark, the smallest slow-down, as a share, found with 99 % power at no more than 1 % false alarms.

    Args:
        launches: of a program against itself, on this machine; at least as many as before the first look.

    Benchmarks that a launch could not measure are left out.
    """
    names = [name for name in launches[0].samples if all(name in each.samples for each in launches)]
    return {name: _detectable(name, [each.samples[name] for each in launches], rule) for name in names}


def _detectable(name: str, samples: Sequence[tuple[list[float], list[float]]], rule: TimingRule) -> float:
    """For gates that go on until the last look; sides are swapped at random, so that no side is slower."""
    pairs: Array = np.array(samples)  # (launches, side, samples)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    changes, needed = np.empty(_GATES), np.empty(_GATES)
    for gate in range(_GATES):
        drawn = pairs[rng.integers(len(pairs), size=rule.launches[1])]
        swapped = rng.random((len(drawn), 1)) < 0.5
        base = np.where(swapped, drawn[:, 1], drawn[:, 0])
        head = np.where(swapped, drawn[:, 0], drawn[:, 1])
        found = estimate_slowdown(name, base, head, _RESAMPLES)
        changes[gate] = found.change
        # A slow-down s scales head and with it the interval: its lower end is above zero from this s on.
        needed[gate] = 1 / (1 + found.for_looks(rule.looks)[0]) - 1
    found_twice = float(np.quantile(needed, math.sqrt(POWER)))
    low, high = 1 + np.quantile(changes, [1 - POWER, 1 - FALSE_ALARMS])
    return max(found_twice, float(high / low - 1))
