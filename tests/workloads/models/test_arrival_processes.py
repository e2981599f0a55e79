"""Arrival processes: their rate and burstiness are those of theory, and of the traces that they stand for."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpgroup.errors import InvalidScenario
from warpgroup.workloads import load_workload
from warpgroup.workloads.models.arrival_processes import (
    Gamma,
    Hourly,
    OnOff,
    Poisson,
    PoissonHmm,
    Process,
    Weibull,
    arrivals_ns,
)
from warpgroup.workloads.models.arrivals import process_named
from warpgroup.workloads.trace.summary import dispersion

DAY = tuple(float(hour % 12) for hour in range(24))
EACH_KIND: list[Process] = [
    Poisson(4.0),
    Gamma(4.0, 0.5),
    Weibull(4.0, 0.7),
    PoissonHmm((1.0, 9.0), ((0.9, 0.1), (0.2, 0.8)), (0.5, 0.5), step_s=0.5),
    OnOff(10.0, on_s=8.0, off_s=22.0, off_rate=0.1),
    Hourly(DAY, Gamma(0.01, 0.8), start_hour=12.0),
]


def kind(process: Process) -> str:
    return type(process).__name__


def gaps_cv(arrival_ns: np.ndarray) -> float:
    gaps = np.diff(arrival_ns)
    return gaps.std() / gaps.mean()


@given(process=st.sampled_from(EACH_KIND), count=st.integers(1, 300), seed=st.integers(0, 2**40))
def test_times_are_in_order_from_zero_and_a_longer_stream_begins_like_a_shorter_one(process, count, seed):
    times = arrivals_ns(process, count, seed)
    assert len(times) == count
    assert times[0] == 0
    assert (np.diff(times) >= 0).all()
    assert np.array_equal(arrivals_ns(process, 2 * count, seed)[:count], times)


@pytest.mark.parametrize("process", EACH_KIND, ids=kind)
def test_every_seed_is_another_stream(process):
    assert len({arrivals_ns(process, 50, seed).tobytes() for seed in range(20)}) == 20


def test_every_process_draws_from_a_stream_of_its_own():
    """Gamma and Weibull of shape 1 are Poisson, yet none repeats the times of another under the same seed."""
    same = [Poisson(1.0), Gamma(1.0, 1.0), Weibull(1.0, 1.0), Hourly((1.0,) * 24, Poisson(1.0))]
    times = [arrivals_ns(process, 200, seed=3) / 1e9 for process in same]
    for index, one in enumerate(times):
        assert all(not np.allclose(one, other) for other in times[:index])


# Tolerances are four standard deviations of the figure over thirty seeds, at 20,000 requests.
RENEWALS = [
    (Poisson(5.0), 1.0, 0.04, (0.08, 0.3, 0.7)),
    (Gamma(5.0, 0.5), math.sqrt(2), 0.06, (0.2, 0.45, 1.0)),
    (Weibull(5.0, 0.7), 1.4624, 0.08, (0.25, 0.7, 1.6)),
    (Weibull(5.0, 2.0), 0.5227, 0.02, (0.06, 0.08, 0.18)),
]


@pytest.mark.parametrize(("process", "cv", "cv_within", "idc_within"), RENEWALS, ids=lambda value: str(value)[:20])
def test_a_renewal_process_has_its_rate_and_the_dispersion_of_its_gaps(process, cv, cv_within, idc_within):
    times = arrivals_ns(process, 20_000, seed=1)
    assert (len(times) - 1) / times[-1] * 1e9 == pytest.approx(5.0, rel=0.05)
    assert gaps_cv(times) == pytest.approx(cv, abs=cv_within)
    for value, within in zip(dispersion(times).values(), idc_within, strict=True):
        assert value == pytest.approx(cv**2, abs=within)  # of counts over long windows it is that of gaps, squared


def test_bursts_have_the_dispersion_of_an_interrupted_poisson_process():
    """Kuczura 1973: with a = 1/on_s and b = 1/off_s, CV^2 - 1 = 2 rate a / (a + b)^2, which counts reach in time."""
    process = OnOff(10.0, on_s=8.0, off_s=22.0)
    a, b = 1 / 8.0, 1 / 22.0
    excess = 2 * 10.0 * a / (a + b) ** 2
    times = arrivals_ns(process, 60_000, seed=1)
    assert (len(times) - 1) / times[-1] * 1e9 == pytest.approx(10 * 8 / 30, rel=0.15)
    assert gaps_cv(times) == pytest.approx(math.sqrt(1 + excess), abs=0.7)
    for (window, value), within in zip(dispersion(times).items(), (0.3, 2.6, 18), strict=True):
        x = (a + b) * float(window.removesuffix("s"))
        assert value == pytest.approx(1 + excess * (1 - (1 - math.exp(-x)) / x), abs=within)


def test_the_hidden_chain_swells_as_azure_does():
    """Simulated where it was fitted: CV 1.07, dispersion 1.28, 3.44 and 11.3; the bounds are those of thirty seeds."""
    times = arrivals_ns(load_workload("azure-conv").arrivals, 20_000, seed=1)
    assert (len(times) - 1) / times[-1] * 1e9 == pytest.approx(5.55, abs=0.85)
    assert gaps_cv(times) == pytest.approx(1.07, abs=0.07)
    for value, expected, within in zip(dispersion(times).values(), (1.28, 3.44, 11.3), (0.22, 1.8, 8), strict=True):
        assert value == pytest.approx(expected, abs=within)


def test_requests_keep_the_hours_of_their_profile():
    process = load_workload("ragpulse").arrivals
    assert isinstance(process, Hourly)
    times = arrivals_ns(process, 100_000, seed=1)
    assert (len(times) - 1) / times[-1] * 1e9 == pytest.approx(0.0118, rel=0.03)
    hours = (times // (3600 * 10**9) + 12) % 24  # the first comes at noon
    found = np.bincount(hours, minlength=24) / len(times) * 24
    assert found == pytest.approx(np.array(process.profile) / np.mean(process.profile), abs=0.1)


def test_no_request_comes_in_an_hour_that_has_none():
    times = arrivals_ns(Hourly(DAY, Poisson(0.01), start_hour=1.0), 5_000, seed=1)
    hours = (times // (3600 * 10**9) + 1) % 12
    assert 0 not in hours


def test_burstgpt_is_as_bursty_within_a_second_as_its_trace():
    """By published summaries: 0.506 a second, dispersion 3.92 over a second."""
    times = arrivals_ns(load_workload("burstgpt").arrivals, 40_000, seed=1)
    assert (len(times) - 1) / times[-1] * 1e9 == pytest.approx(0.506, rel=0.05)
    assert dispersion(times)["1s"] == pytest.approx(3.92, abs=0.15)


@pytest.mark.parametrize("process", EACH_KIND, ids=kind)
def test_a_file_can_name_every_process(process):
    assert msgspec.json.decode(msgspec.json.encode(process), type=Process) == process


@pytest.mark.parametrize(
    ("spec", "process"),
    [
        ("poisson:4", Poisson(4.0)),
        ("gamma:5.5:0.87", Gamma(5.5, 0.87)),
        ("weibull:1:2", Weibull(1.0, 2.0)),
        ("on-off:10:8:22", OnOff(10.0, 8.0, 22.0)),
        ("mooncake", Poisson(3.27)),
    ],
)
def test_short_forms(spec, process):
    assert process_named(spec) == process


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gamma:5", "expected trace, at-zero, users:N[:PAUSE_S], poisson:RATE, gamma:RATE:SHAPE"),
        ("bwb", "expected trace, at-zero"),  # it has lengths only
        ("gamma:5:x", "expected numbers after gamma:"),
        ("gamma:5:0", "shape is 0, expected a positive number"),
        ("weibull:inf:1", "rate is inf, expected a positive number"),
        ("weibull:1:0.01", "expected at least 0.05"),
        ("on-off:1:nan:1", "on_s is nan, expected a positive number"),
    ],
)
def test_a_mistake_in_a_short_form_is_named(spec, message):
    with pytest.raises(InvalidScenario) as caught:
        process_named(spec)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PoissonHmm((1.0, 2.0), ((1.0,),), (1.0,)), "rates has 2 states"),
        (lambda: PoissonHmm((1.0,), ((0.5,),), (1.0,)), "must sum to 1"),
        (lambda: PoissonHmm((), (), ()), "rates has 0 states"),
        (lambda: PoissonHmm((0.0,), ((1.0,),), (1.0,)), r"rates\[0\] is 0"),
        (lambda: PoissonHmm((1e-300,), ((1.0,),), (1.0,)), "0.0001 to 1,000,000 requests per step"),
        (lambda: OnOff(1.0, 1e-300, 1.0), "1e-300 requests per burst"),
        (lambda: OnOff(1.0, 1.0, 1.0, off_rate=-1.0), "off_rate is -1"),
        (lambda: Hourly((1.0,) * 23, Poisson(1.0)), "must have 24 rates"),
        (lambda: Hourly((0.0,) * 24, Poisson(1.0)), "must have 24 rates"),
        (lambda: Hourly(DAY, Poisson(1.0), start_hour=24.0), "start_hour is 24"),
        (lambda: arrivals_ns(Poisson(1e-9), 1000, 0), "longer than 292 years"),
    ],
)
def test_a_process_that_makes_no_sense_is_refused(make, message):
    with pytest.raises(InvalidScenario, match=message):
        make()
