"""When requests arrive."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.experiments import trace

from warpgroup.errors import InvalidScenario, InvalidTrace
from warpgroup.workloads import are_drawn, reshuffled, scale_rate, summarize_trace, with_arrivals
from warpgroup.workloads.models.arrival_processes import arrivals_ns
from warpgroup.workloads.models.arrivals import process_named


def lengths_only(count: int):
    from dataclasses import replace

    return replace(trace([(0, 5, 5)] * count), has_times=False)


@given(times=st.lists(st.integers(0, 10**13), min_size=1, max_size=50).map(sorted), factor=st.floats(0.01, 100))
def test_scaling_the_rate_keeps_the_order_and_divides_the_span(times, factor):
    before = trace([(t - times[0], 5, 5) for t in times])
    after = scale_rate(before, factor)
    assert (np.diff(after.arrival_ns) >= 0).all()
    assert after.arrival_ns[-1] == pytest.approx(before.arrival_ns[-1] / factor, abs=1)
    assert np.array_equal(after.prompt_tokens, before.prompt_tokens)


def test_a_poisson_stream_has_its_rate_and_the_burstiness_of_one():
    summary = summarize_trace(with_arrivals(lengths_only(20_000), "poisson:4", seed=1))
    assert summary.rate_s is None  # the trace still says that it has no times of its own
    arrival_ns = with_arrivals(lengths_only(20_000), "poisson:4", seed=1).arrival_ns
    gaps = np.diff(arrival_ns) / 1e9
    assert gaps.mean() == pytest.approx(0.25, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("spec", ["gamma:4:0.5", "weibull:4:2", "on-off:10:8:22", "azure-conv"])
def test_any_process_can_take_the_place_of_the_times(spec):
    before = trace([(i, 1 + i, 1) for i in range(50)])
    after = with_arrivals(before, spec, seed=3)
    assert np.array_equal(after.arrival_ns, arrivals_ns(process_named(spec), 50, seed=3))
    assert np.array_equal(after.prompt_tokens, before.prompt_tokens)
    assert are_drawn(spec)


@pytest.mark.parametrize("spec", ["trace", "at-zero"])
def test_times_that_are_not_drawn_are_alike_for_every_seed(spec):
    before = trace([(i, 1, 1) for i in range(50)])
    assert not are_drawn(spec)
    assert with_arrivals(before, spec, 1).content_hash == with_arrivals(before, spec, 2).content_hash


def test_the_seed_decides_the_stream():
    one, same, other = (with_arrivals(lengths_only(50), "poisson:1", seed).arrival_ns for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_at_zero_is_all_at_once():
    assert with_arrivals(trace([(0, 1, 1), (9, 1, 1)]), "at-zero", 0).arrival_ns.tolist() == [0, 0]


def test_a_trace_without_times_cannot_give_them():
    with pytest.raises(InvalidTrace, match="--arrivals poisson:RATE, users:N or at-zero"):
        with_arrivals(lengths_only(3), "trace", 0)


@given(
    rows=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=40).map(
        sorted
    ),
    seed=st.integers(0, 2**32),
)
def test_dealing_anew_keeps_the_times_and_the_requests_but_not_who_comes_when(rows, seed):
    before = trace(rows)
    after = reshuffled(before, seed)
    assert np.array_equal(after.arrival_ns, before.arrival_ns)
    assert sorted(zip(after.prompt_tokens, after.output_tokens, strict=True)) == sorted(row[1:] for row in rows)
    assert after.max_new_tokens == before.max_new_tokens
    assert reshuffled(before, seed).content_hash == after.content_hash


def test_every_seed_deals_otherwise():
    before = trace([(i, 1 + i, 1 + i) for i in range(50)])
    assert len({reshuffled(before, seed).content_hash for seed in range(20)} | {before.content_hash}) == 21


@pytest.mark.parametrize("spec", ["", "poisson", "poisson:", "poisson:0", "poisson:-1", "poisson:nan", "uniform:3"])
def test_an_arrival_process_that_there_is_not(spec):
    with pytest.raises(InvalidScenario, match="arrivals"):
        with_arrivals(trace([(0, 1, 1)]), spec, 0)
