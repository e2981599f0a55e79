"""Generated requests: repeatable, and like the traces that they imitate."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpgroup.cli.experiments import experiment_from
from warpgroup.cli.options import Options
from warpgroup.errors import InvalidScenario, UnknownName
from warpgroup.workloads import (
    GeneratorSpec,
    generate_from,
    generate_trace,
    load_workload,
    summarize_trace,
    workload_names,
)
from warpgroup.workloads.models.generator import Component


def spec(*mixtures: str, arrivals: str = "") -> GeneratorSpec:
    return GeneratorSpec([Component(mixture) for mixture in mixtures], arrivals)


@given(name=st.sampled_from(workload_names()), count=st.integers(1, 200), seed=st.integers(0, 2**31))
def test_lengths_are_within_the_models_range(name, count, seed):
    trace = generate_trace(spec(name), requests=count, seed=seed, max_new_tokens=100)
    longest = load_workload(name).clip[0]
    assert len(trace) == count
    assert ((trace.prompt_tokens >= 1) & (trace.prompt_tokens <= longest)).all()
    assert ((trace.output_tokens >= 1) & (trace.output_tokens <= 100)).all()


def test_two_processes_generate_the_same_trace():
    script = (
        "from warpgroup.workloads import *; s = load_scenario('chat-24');"
        "t = generate_trace(s.workload, requests=500, seed=3, max_new_tokens=1000); print(t.content_hash)"
    )
    hashes = {subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout for _ in range(2)}
    assert len(hashes) == 1


def test_streams_are_seeded_apart():
    """Lengths do not change when only the arrival process does."""
    one = generate_trace(spec("bwb", arrivals="poisson:1"), requests=100, seed=5, max_new_tokens=4096)
    other = generate_trace(spec("bwb", arrivals="azure-conv"), requests=100, seed=5, max_new_tokens=4096)
    assert np.array_equal(one.prompt_tokens, other.prompt_tokens)
    assert not np.array_equal(one.arrival_ns, other.arrival_ns)


def test_shares_are_kept():
    mixed = GeneratorSpec([Component("azure-conv", 0.8), Component("mooncake", 0.2, max_prompt_tokens=3000)])
    trace = generate_trace(mixed, requests=5000, seed=0, max_new_tokens=2000)
    assert 0.08 < (trace.prompt_tokens == 3000).mean() < 0.2  # most of mooncake's prompts are longer


def test_the_swell_is_burstier_than_poisson_over_a_minute():
    trace = generate_trace(spec("azure-conv", arrivals="azure-conv"), requests=20_000, seed=0, max_new_tokens=1000)
    summary = summarize_trace(trace)
    assert summary.rate_s == pytest.approx(5.5, rel=0.15)
    assert summary.cv == pytest.approx(1.07, abs=0.05)
    assert summary.idc["60s"] > 5


# The content of each before there were workload models (agent-141: when it came), with its own seed and with seed 7.
SCENARIOS = {
    "agent-141": ("f70e0394d8604f73", "f50821499641c473"),
    "chat-24": ("2d52cfd0636a9e5c", "3f5041876d9db020"),
    "control-141": ("2dab2b615ed985f4", "9e05d519f6b6606e"),
    "growth-24": ("b298815bf57bcb67", "0b04b74e1abfd12a"),
    "long-24": ("9aa3b7b1f093f9fa", "705ef38ed5318da1"),
    "mixed-24": ("3c599eba35444e73", "bfc52e7635de6c39"),
    "overload-24": ("127b11451ef3ce0d", "9da2ad13a728b0ca"),
    "reason-24": ("60fb242ca4bb42de", "0e3711aa4a6f0073"),
    "tight-24": ("c6490e327801051f", "a7c092bb1fbf34f7"),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_a_scenario_generated_it_still_generates(name):
    """The gate's exact figures, and every record of a run, are of these very requests."""
    given = [experiment_from(Options(scenario=name, seed=seed))[0].trace.content_hash for seed in (None, 7)]
    assert tuple(given) == SCENARIOS[name]


def test_a_model_alone_is_the_mixture_of_it_alone():
    one = generate_from(load_workload("azure-conv"), requests=200, seed=4)
    other = generate_trace(spec("azure-conv", arrivals="azure-conv"), requests=200, seed=4, max_new_tokens=1000)
    assert one.content_hash == other.content_hash
    assert one.source.sha256 != other.source.sha256


def test_a_model_without_arrivals_gives_lengths_alone():
    made = generate_from(load_workload("bwb"), requests=50, seed=0)
    assert not made.has_times
    assert not made.arrival_ns.any()


def test_mistakes_are_named():
    with pytest.raises(UnknownName, match="did you mean 'lmsys'"):
        generate_trace(spec("lmsy"), requests=1, seed=0, max_new_tokens=1)
    with pytest.raises(InvalidScenario, match="components is empty"):
        generate_trace(GeneratorSpec([]), requests=1, seed=0, max_new_tokens=1)
    with pytest.raises(InvalidScenario, match="share of bwb is -1"):
        generate_trace(GeneratorSpec([Component("bwb", -1)]), requests=1, seed=0, max_new_tokens=1)
    with pytest.raises(InvalidScenario, match="share of bwb is inf"):
        generate_trace(GeneratorSpec([Component("bwb", float("inf"))]), requests=1, seed=0, max_new_tokens=1)
    with pytest.raises(InvalidScenario, match="max_prompt_tokens of bwb is -1"):
        generate_trace(GeneratorSpec([Component("bwb", max_prompt_tokens=-1)]), requests=1, seed=0, max_new_tokens=1)
    with pytest.raises(InvalidScenario, match="requests is 0"):
        generate_from(load_workload("bwb"), requests=0, seed=0)
    with pytest.raises(InvalidScenario, match="arrivals 'often'"):
        generate_trace(spec("bwb", arrivals="often"), requests=1, seed=0, max_new_tokens=1)
