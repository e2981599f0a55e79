"""The statistics against simple references, and on samples whose slow-down is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpgroup.reports.gate.classes.timed.statistics import adjusted_by_holm, estimate_slowdown, low_quantiles


def noise(seed: int, launches: int = 32, samples: int = 12) -> np.ndarray:
    """Launches that differ by 1 %, samples in them that are slow by chance."""
    rng = np.random.default_rng(seed)
    of_launch = np.exp(rng.normal(0, 0.01, (launches, 1)))
    return 1e-3 * of_launch * (1 + rng.gamma(0.5, 0.05, (launches, samples)))


@given(
    seed=st.integers(0, 1000),
    launches=st.integers(1, 12),
    per_launch=st.integers(1, 9),
    dropped=st.floats(0, 0.4),
)
def test_low_quantiles_are_those_of_the_launches_written_out(seed, launches, per_launch, dropped):
    rng = np.random.default_rng(seed)
    samples = rng.random((launches, per_launch))
    samples[rng.random(samples.shape) < dropped] = np.nan
    samples[:, 0] = rng.random(launches)
    weights = rng.multinomial(launches, np.full(launches, 1 / launches), size=5).astype(np.int16)
    for found, counts in zip(low_quantiles(samples, weights), weights, strict=True):
        pooled = np.repeat(samples, counts, axis=0)
        assert found == np.quantile(pooled[~np.isnan(pooled)], 0.05, method="inverted_cdf")


def test_a_slow_down_is_found_where_it_is():
    found = estimate_slowdown("x", noise(1), 1.05 * noise(2))
    low, high = found.interval
    assert low < found.change < high
    assert found.change == pytest.approx(0.05, abs=0.01)
    assert found.base_s == pytest.approx(1e-3, rel=0.05)


def test_scaling_head_scales_the_interval():
    base, head = noise(1), noise(2)
    same, slower = estimate_slowdown("x", base, head), estimate_slowdown("x", base, 1.05 * head)
    assert slower.interval == pytest.approx(tuple(1.05 * (1 + end) - 1 for end in same.interval))


def test_the_same_samples_give_the_same_estimate():
    assert estimate_slowdown("x", noise(1), noise(2)) == estimate_slowdown("x", noise(1), noise(2))


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    """Of 300 on 99 %, 3 are expected to miss; a bootstrap over 32 launches is a little too sure."""
    intervals = [estimate_slowdown("x", noise(2 * k), noise(2 * k + 1), resamples=500).interval for k in range(300)]
    assert sum(not low < 0 < high for low, high in intervals) <= 12


def test_slow_samples_do_not_move_it():
    disturbed = noise(1)
    disturbed[:, ::2] *= 3
    assert abs(estimate_slowdown("x", noise(1), disturbed).change) < 0.02


def test_impossible_samples_are_dropped_and_counted():
    broken_clock = noise(1)
    broken_clock[3, 4] = 1e-6
    found = estimate_slowdown("x", noise(1), broken_clock)
    assert found.dropped == 1
    assert abs(found.change) < 0.001


def test_more_looks_widen_the_interval():
    found = estimate_slowdown("x", noise(1), noise(2))
    once, often = found.for_looks(1), found.for_looks(7)
    assert once == pytest.approx(found.interval)
    assert often[0] < once[0] < once[1] < often[1]


def test_p_values_tell_a_slow_down_from_none():
    assert estimate_slowdown("x", noise(1), 1.05 * noise(2)).p_value == pytest.approx(1 / 2001)
    assert estimate_slowdown("x", noise(1), noise(1)).p_value > 0.5


def test_holm_by_hand():
    assert adjusted_by_holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert adjusted_by_holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}
    assert adjusted_by_holm({}) == {}
