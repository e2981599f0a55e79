"""Where capacity lies, and that bisection finds it where the whole grid does."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sweeps import point

from warpgroup.errors import InvalidScenario
from warpgroup.sim.sweep.capacity import capacity_of, next_rates, rates_of, rises, rounds_left

TARGET = 0.9
shares = st.integers(0, 100).map(lambda percent: percent / 100)
attainments = st.lists(shares, min_size=1, max_size=200)
falling = attainments.map(lambda values: sorted(values, reverse=True))


def measured(values: list[float], *, every: bool) -> dict[int, float]:
    """Attainment by position, of the rates that the search asks for."""
    found: dict[int, float] = {}
    while wanted := next_rates(len(values), {i: a >= TARGET for i, a in found.items()}, every=every):
        assert not found.keys() & set(wanted), "no rate is measured twice"
        found |= {i: values[i] for i in wanted}
    return found


def points(found: dict[int, float]) -> list:
    return [point(float(i), found[i]) for i in sorted(found)]


@given(falling)
def test_bisection_finds_what_the_whole_grid_finds_and_measures_few_rates(values):
    few, all_of_them = measured(values, every=False), measured(values, every=True)
    assert capacity_of(points(few), TARGET) == capacity_of(points(all_of_them), TARGET)
    assert len(few) <= math.ceil(math.log2(len(values) + 1))
    assert len(all_of_them) == len(values)


@given(falling)
def test_the_rates_left_are_foretold_at_every_moment(values):
    order = list(measured(values, every=False).items())
    for done in range(len(order) + 1):
        least, most = rounds_left(len(values), {i: a >= TARGET for i, a in order[:done]})
        assert least <= len(order) - done <= most


@given(attainments)
def test_capacity_passes_and_nothing_below_it_fails_whatever_was_measured(values):
    capacity, failing = capacity_of(points(dict(enumerate(values))), TARGET)
    below = values if failing is None else values[: int(failing)]
    assert all(value >= TARGET for value in below)
    assert capacity == (len(below) - 1 if below else None)
    assert failing is None or values[int(failing)] < TARGET


def test_a_rate_that_passes_above_one_that_fails_is_not_capacity_and_is_told():
    found = [point(1, 0.95), point(2, 0.8), point(3, 0.92), point(4, 0.1)]
    assert capacity_of(found, TARGET) == (1, 2)
    (note,) = rises(found, TARGET)
    assert "rises from 80.0% at 2 to 92.0% at 3 requests/s" in note


def test_a_rise_among_rates_that_fail_is_told_too_and_noise_is_not():
    assert len(rises([point(1, 0.05), point(2, 0.25)], TARGET)) == 1
    assert rises([point(1, 0.05), point(2, 0.09)], TARGET) == []
    assert rises([point(1, 0.91), point(2, 0.99)], TARGET) == []


@given(st.integers(1, 500), st.integers(0, 300), st.integers(1, 50))
def test_a_grid_holds_the_very_decimals_that_its_steps_reach(low, steps, step):
    low_text, step_text, high_text = (f"{value / 100:.2f}" for value in (low, step, low + steps * step))
    assert rates_of(f"{low_text}:{high_text}:{step_text}") == [(low + i * step) / 100 for i in range(steps + 1)]


def test_a_grid_ends_at_or_below_its_end():
    assert rates_of("1:10:4") == [1, 5, 9]
    assert rates_of("3:3:1") == [3]
    assert len(rates_of("1:1000:1")) == 1000


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("1:10", "not of the form LOW:HIGH:STEP"),
        ("1:10:1:1", "not of the form LOW:HIGH:STEP"),
        ("a:10:1", "not of the form LOW:HIGH:STEP"),
        ("1:inf:1", "not of the form LOW:HIGH:STEP"),
        ("nan:10:1", "not of the form LOW:HIGH:STEP"),
        ("10:1:1", "LOW is above HIGH"),
        ("0:1:1", "must be positive"),
        ("1:2:0", "must be positive"),
        ("1:2:-1", "must be positive"),
        ("1:1001:1", "more than 1,000 rates"),
        ("1:1e99:1", "more than 1,000 rates"),
        ("1:1e999999:1e-999999", "more than 1,000 rates"),
        ("1:1.0000000000000001:0.00000000000000001", "STEP is too small"),
        ("1e-400:1e-399:1e-400", "STEP is too small"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(spec, message):
    with pytest.raises(InvalidScenario, match=message):
        rates_of(spec)
