"""Generated requests: repeatable, and like the traces that they imitate."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpgroup.errors import InvalidScenario, UnknownName
from warpgroup.workloads import GeneratorSpec, describe, generate, mixture_names, read_trace
from warpgroup.workloads.generator import Component, _mixtures

TRACES = Path(__file__).parents[3] / "shared" / "traces"


def spec(*mixtures: str, arrivals: str = "") -> GeneratorSpec:
    return GeneratorSpec([Component(mixture) for mixture in mixtures], arrivals)


def ks_distance(a: np.ndarray, b: np.ndarray) -> float:
    at = np.unique(np.concatenate([a, b]))
    return float(
        np.abs(
            np.searchsorted(np.sort(a), at, "right") / len(a) - np.searchsorted(np.sort(b), at, "right") / len(b)
        ).max()
    )


@given(name=st.sampled_from(mixture_names()), count=st.integers(1, 200), seed=st.integers(0, 2**31))
def test_lengths_are_within_the_models_range(name, count, seed):
    trace = generate(spec(name), requests=count, seed=seed, max_new_tokens=100)
    longest = _mixtures()[name].clip[0]
    assert len(trace) == count
    assert ((trace.prompt_tokens >= 1) & (trace.prompt_tokens <= longest)).all()
    assert ((trace.output_tokens >= 1) & (trace.output_tokens <= 100)).all()


def test_two_processes_generate_the_same_trace():
    script = (
        "from warpgroup.workloads import *; s = load_scenario('chat-24');"
        "t = generate(s.workload, requests=500, seed=3, max_new_tokens=1000); print(t.content_hash)"
    )
    hashes = {subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout for _ in range(2)}
    assert len(hashes) == 1


def test_streams_are_seeded_apart():
    """Lengths do not change when only the arrival process does."""
    one = generate(spec("bwb", arrivals="poisson:1"), requests=100, seed=5, max_new_tokens=4096)
    other = generate(spec("bwb", arrivals="azure-conv"), requests=100, seed=5, max_new_tokens=4096)
    assert np.array_equal(one.prompt_tokens, other.prompt_tokens)
    assert not np.array_equal(one.arrival_ns, other.arrival_ns)


def test_shares_are_kept():
    mixed = GeneratorSpec([Component("azure-conv", 0.8), Component("mooncake", 0.2, max_prompt_tokens=3000)])
    trace = generate(mixed, requests=5000, seed=0, max_new_tokens=2000)
    assert 0.08 < (trace.prompt_tokens == 3000).mean() < 0.2  # most of mooncake's prompts are longer


def test_the_swell_is_burstier_than_poisson_over_a_minute():
    trace = generate(spec("azure-conv", arrivals="azure-conv"), requests=20_000, seed=0, max_new_tokens=1000)
    summary = describe(trace)
    assert summary.rate_s == pytest.approx(5.5, rel=0.15)
    assert summary.cv == pytest.approx(1.07, abs=0.05)
    assert summary.idc["60s"] > 5


@pytest.mark.skipif(not TRACES.is_dir(), reason="the shared traces are not here")
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("azure-conv", "azure_llm_2023/AzureLLMInferenceTrace_conv.csv.gz"),
        ("mooncake", "mooncake_fast25/conversation_trace.0-2400s.jsonl.gz"),
        ("sharegpt-8k", "etalon_lengths/sharegpt_8k_filtered_stats_llama2_tokenizer.csv.gz"),
        ("bwb", "etalon_lengths/bwb_stats_llama2_tokenizer_filtered_v2.csv.gz"),
        ("lmsys", "nanoflow_lengths/lmsys.rows1-80000.csv.gz"),
    ],
)
def test_lengths_are_as_close_to_the_trace_as_the_fit_was(name, file):
    real = read_trace(TRACES / file, max_new_tokens=10**6)
    made = generate(spec(name), requests=20_000, seed=1, max_new_tokens=10**6)
    sampling = 1.63 * np.sqrt(1 / len(real) + 1 / len(made))  # 99 % bound of the two-sample statistic
    fit = _mixtures()[name].ks
    assert ks_distance(real.prompt_tokens, made.prompt_tokens) <= fit["prompt"] + sampling
    assert ks_distance(real.output_tokens, made.output_tokens) <= fit["output"] + sampling


def test_mistakes_are_named():
    with pytest.raises(UnknownName, match="did you mean 'lmsys'"):
        generate(spec("lmsy"), requests=1, seed=0, max_new_tokens=1)
    with pytest.raises(InvalidScenario, match="components is empty"):
        generate(GeneratorSpec([]), requests=1, seed=0, max_new_tokens=1)
    with pytest.raises(InvalidScenario, match="share of bwb is -1"):
        generate(GeneratorSpec([Component("bwb", -1)]), requests=1, seed=0, max_new_tokens=1)
    with pytest.raises(InvalidScenario, match="arrivals 'often'"):
        generate(spec("bwb", arrivals="often"), requests=1, seed=0, max_new_tokens=1)
