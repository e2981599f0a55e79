"""Models fitted to traces: what was put in is found again, and what is not imitated is said."""

import time
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.paths import SHARED

from warpgroup.errors import InvalidTrace
from warpgroup.workloads import (
    Trace,
    dequantize,
    encode_workload,
    fit,
    generate_from,
    head,
    load_workload,
    read_trace,
    scale_rate,
    with_arrivals,
)
from warpgroup.workloads.fitting.arrival_fit import fit_arrivals
from warpgroup.workloads.fitting.hidden_rate_fit import fit_hidden_rate
from warpgroup.workloads.fitting.mixture_fit import fit_mixtures
from warpgroup.workloads.models.arrival_processes import Gamma, OnOff, Poisson, PoissonHmm, Weibull, arrivals_ns

TRACES = SHARED / "traces"
AZURE = TRACES / "azure_llm_2023/AzureLLMInferenceTrace_conv.csv.gz"
MOONCAKE = TRACES / "mooncake_fast25/conversation_trace.0-2400s.jsonl.gz"


def lognormal_pairs(count: int, seed: int, *, far: float = 4.0):
    """Two clusters of (prompt, output) that nobody would take for one, 0.7 to 0.3."""
    rng = np.random.default_rng(seed)
    mean = np.where((rng.random(count) < 0.7)[:, None], [5.0, 7.0], [5.0 + far, 5.0])
    lengths = np.maximum(np.rint(np.exp(mean + rng.normal(0, 0.3, (count, 2)))), 1).astype(np.int64)
    return lengths[:, 0], lengths[:, 1]


def test_a_mixture_is_found_again():
    found = fit_mixtures(*lognormal_pairs(8_000, 1), range(1, 5), seed=0)
    assert min(found, key=lambda size: found[size].bic) == 2
    mixture = found[2].mixture
    assert mixture.w == pytest.approx((0.7, 0.3), abs=0.02)
    assert np.array(mixture.mean_ln) == pytest.approx(np.array([[5.0, 7.0], [9.0, 5.0]]), abs=0.03)
    assert np.array(mixture.cov_ln) == pytest.approx(np.array([[0.09, 0.0, 0.09]] * 2), abs=0.01)


def test_one_component_is_the_mean_and_the_covariance():
    prompt, output = lognormal_pairs(2_000, 3)
    found = fit_mixtures(prompt, output, range(1, 2), seed=0)[1].mixture
    logs = np.log([prompt, output])
    cov = np.cov(logs, ddof=0)
    assert found.mean_ln[0] == pytest.approx(logs.mean(axis=1), abs=1e-5)
    assert found.cov_ln[0] == pytest.approx((cov[0, 0], cov[0, 1], cov[1, 1]), abs=2e-4)


lengths = st.one_of(st.integers(1, 3), st.integers(1, 10**6))


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 9), lengths, lengths), min_size=1, max_size=30).map(sorted))
def test_any_trace_has_a_model_that_can_be_kept_and_generated_from(rows):
    trace = Trace.of_rows(rows, max_new_tokens=10**6)
    model, report = fit(trace, components=1)
    assert msgspec.json.decode(encode_workload(model), type=type(model)) == model
    made = generate_from(model, requests=20, seed=1)
    assert made.prompt_tokens.max() <= trace.prompt_tokens.max()
    assert made.output_tokens.max() <= trace.output_tokens.max()
    assert all(0 <= distance <= 1 for distance in report.ks.values())


def test_the_same_trace_gives_the_same_model():
    trace = generate_from(load_workload("azure-conv"), requests=1_000, seed=1)
    assert fit(trace, components=3) == fit(trace, components=3)


def test_more_components_than_different_requests_are_not_fitted():
    trace = Trace.of_rows([(0, 5, 5), (1, 5, 5), (2, 6, 6)], max_new_tokens=10)
    assert set(fit(trace)[1].bic) == {1, 2}
    for components in (0, 3):
        with pytest.raises(InvalidTrace, match=f"components is {components}, expected 1 to"):
            fit(trace, components=components)


def test_what_was_done_to_the_trace_stands_in_the_model():
    trace = scale_rate(generate_from(load_workload("mooncake"), requests=200, seed=1), 2)
    assert "rate x2" in fit(trace, components=1)[0].source


@pytest.mark.parametrize("process", [Poisson(5.0), Gamma(5.0, 0.4), Weibull(5.0, 0.6)], ids=str)
def test_a_renewal_process_is_found_again(process):
    chosen = fit_arrivals(arrivals_ns(process, 20_000, seed=9), seed=0).chosen
    assert chosen.remarks == ()
    assert type(chosen.process) is type(process)
    assert chosen.process.rate == pytest.approx(5.0, rel=0.05)
    assert getattr(chosen.process, "shape", 0) == pytest.approx(getattr(process, "shape", 0), rel=0.1)


def test_a_hidden_rate_is_found_again():
    process = PoissonHmm((1.0, 5.0, 20.0), ((0.98, 0.02, 0.0), (0.01, 0.97, 0.02), (0.0, 0.05, 0.95)), (0.0, 1.0, 0.0))
    found = fit_hidden_rate(arrivals_ns(process, 20_000, seed=1))
    assert found.rates == pytest.approx(process.rates, rel=0.06)
    assert np.array(found.transitions) == pytest.approx(np.array(process.transitions), abs=0.02)
    chain = np.array(found.transitions)
    assert np.array(found.start) @ chain == pytest.approx(np.array(found.start), abs=1e-6)


def test_bursts_that_no_renewal_process_has_are_reported_and_given_a_hidden_rate():
    found = fit_arrivals(arrivals_ns(OnOff(10.0, 8.0, 22.0), 20_000, seed=1), seed=0)
    *renewals, hidden = found.candidates
    assert all(candidate.remarks[0].startswith("the gaps differ from the trace by") for candidate in renewals)
    assert found.chosen is hidden
    assert hidden.ks < 0.1 * min(candidate.ks for candidate in renewals)


def test_nothing_is_said_of_windows_of_which_there_are_few():
    """Twenty minutes of Poisson have twenty windows of 60 s, of which the dispersion means little; a minute has one."""
    for count in (300, 6_000):
        for candidate in fit_arrivals(arrivals_ns(Poisson(5.0), count, seed=2), seed=0).candidates:
            assert candidate.remarks == ()


def test_times_that_a_clock_rounded_are_reported():
    rounded = arrivals_ns(Poisson(5.0), 5_000, seed=1) // 10**9 * 10**9
    assert all("dequantize" in candidate.remarks[-1] for candidate in fit_arrivals(rounded, seed=0).candidates)


@pytest.mark.parametrize("times", [[0], [0, 5], [5, 5, 5, 5]])
def test_there_is_nothing_to_fit_to_fewer_than_two_gaps(times):
    assert fit_arrivals(np.array(times, dtype=np.int64), seed=0) is None


def test_without_times_there_are_no_arrivals():
    trace = Trace.of_rows([(i, 5 + i, 5) for i in range(9)], max_new_tokens=10)
    model, report = fit(replace(trace, has_times=False), components=1)
    assert (model.arrivals, report.arrivals, model.notes) == (None, None, "no arrival times")
    assert fit(with_arrivals(trace, "at-zero", 0), components=1)[0].arrivals is None
    assert fit(head(trace, 2), components=1)[0].arrivals is None


@pytest.mark.skipif(not AZURE.is_file(), reason="the shared traces are not here")
def test_azure_is_fitted_as_well_as_published():
    """Six components came to KS 0.035, 0.062 and 0.031, and to a rank correlation within 0.02."""
    began = time.process_time()
    model, report = fit(read_trace(AZURE), components=6)
    assert time.process_time() - began < 60
    for kind, published in {"prompt": 0.035, "output": 0.062, "total": 0.031}.items():
        assert report.ks[kind] <= published + 0.01
    assert report.spearman[0] == pytest.approx(0.073, abs=0.001)
    assert report.spearman[1] == pytest.approx(report.spearman[0], abs=0.025)
    assert model.clip == (14_050, 1_000)
    assert isinstance(model.arrivals, PoissonHmm)  # no renewal process swells as Azure does
    assert report.arrivals.idc["60s"] == pytest.approx(16.1, abs=0.1)
    assert report.arrivals.chosen.idc["60s"] == pytest.approx(16.1, rel=0.3)
    assert all(candidate.idc["60s"] < 2 for candidate in report.arrivals.candidates[:3])


@pytest.mark.skipif(not MOONCAKE.is_file(), reason="the shared traces are not here")
def test_gaps_of_mooncake_are_poisson_once_dequantized():
    """Published: a distance of 0.010 to the exponential distribution."""
    trace = read_trace(MOONCAKE)
    as_filed = fit_arrivals(trace.arrival_ns, seed=0)
    poisson = fit_arrivals(dequantize(trace, seed=1).arrival_ns, seed=0).candidates[0]
    assert "dequantize" in as_filed.chosen.remarks[-1]
    assert as_filed.chosen.ks > 0.5
    assert poisson.process.rate == pytest.approx(3.27, abs=0.01)
    assert poisson.ks == pytest.approx(0.01, abs=0.01)
    assert [remark[:15] for remark in poisson.remarks] == ["counts over 60s"]  # the slow rise
