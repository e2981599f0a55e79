"""Built-in workload models are as near to their traces as is said; files of models are read and written."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from support.paths import SHARED

from warpgroup.errors import InvalidScenario, UnknownName
from warpgroup.workloads import encode_workload, generate_from, load_workload, read_trace, workload_names
from warpgroup.workloads.fitting.distances import ks_distance, spearman

TRACES = SHARED / "traces"
REQUESTS = 50_000

# Kolmogorov distances of prompt, output and total as published, and the file that they were measured on.
MEASURED = {
    "azure-conv": ("azure_llm_2023/AzureLLMInferenceTrace_conv.csv.gz", (0.035, 0.062, 0.031)),
    "mooncake": ("mooncake_fast25/conversation_trace.0-2400s.jsonl.gz", (0.038, 0.018, 0.023)),
    "ragpulse": ("ragpulse/0_trace.day0-4.jsonl.gz", (0.040, 0.018, 0.029)),
    "sharegpt": ("nanoflow_lengths/sharegpt.csv.gz", (0.008, 0.017, 0.012)),
    "sharegpt-8k": ("etalon_lengths/sharegpt_8k_filtered_stats_llama2_tokenizer.csv.gz", (0.022, 0.037, 0.026)),
    "bwb": ("etalon_lengths/bwb_stats_llama2_tokenizer_filtered_v2.csv.gz", (0.007, 0.019, 0.016)),
    "lmsys": ("nanoflow_lengths/lmsys.rows1-80000.csv.gz", (0.013, 0.036, 0.017)),
    "claude-code": ("weka_claude_code/traces.first60.jsonl.gz", (0.059, 0.016, 0.059)),
}


def test_the_issues_workloads_are_there():
    wanted = {
        "azure-conv",
        "mooncake",
        "ragpulse",
        "sharegpt",
        "bwb",
        "lmsys",
        "deepseek-r1",
        "burstgpt",
        "claude-code",
    }
    assert wanted <= set(workload_names())


@pytest.mark.parametrize("name", workload_names())
def test_every_model_is_whole_and_says_where_it_is_from(name):
    model = load_workload(name)
    assert model.name == name
    assert model.source
    assert model.notes
    sessions = model.sessions
    for mixture in [sessions.starts, sessions.growth, sessions.early_growth] if sessions else [model.mixture]:
        assert sum(mixture.w) == pytest.approx(1, abs=0.001)


@pytest.mark.parametrize("name", MEASURED)
def test_lengths_are_as_near_to_the_trace_as_published(name):
    file, published = MEASURED[name]
    if not (TRACES / file).is_file():
        pytest.skip(f"{file} is not here")
    real = read_trace(TRACES / file, max_new_tokens=10**6)
    made = generate_from(load_workload(name), requests=REQUESTS, seed=1, max_new_tokens=10**6)
    # The 99 % bound of what drawing adds; the distance is that to these very rows. The turns of a session are alike:
    # distances of the prompts of 50,000 vary by 0.02 from seed to seed.
    chance = 0.03 if made.is_closed_loop else 1.63 / np.sqrt(REQUESTS)
    found = [
        ks_distance(real.prompt_tokens, made.prompt_tokens),
        ks_distance(real.output_tokens, made.output_tokens),
        ks_distance(real.prompt_tokens + real.output_tokens, made.prompt_tokens + made.output_tokens),
    ]
    assert all(distance <= limit + chance for distance, limit in zip(found, published, strict=True)), found
    known = load_workload(name).ks
    assert tuple(known[kind] for kind in ("prompt", "output", "total")) == published
    assert spearman(made.prompt_tokens, made.output_tokens) == pytest.approx(
        spearman(real.prompt_tokens, real.output_tokens), abs=0.03
    )


# What is known of the lengths that these were fitted or matched to, by percentile; there is no file to measure.
PUBLISHED = {
    "deepseek-r1": ({"mean": 1483, 99: 27400}, {"mean": 1672, 99: 10150}),
    "burstgpt": ({"mean": 352, 50: 217, 90: 599, 99: 2953}, {"mean": 59, 50: 7, 90: 147, 99: 716}),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_lengths_have_the_published_quantiles(name):
    made = generate_from(load_workload(name), requests=REQUESTS, seed=1)
    for tokens, known in zip((made.prompt_tokens, made.output_tokens), PUBLISHED[name], strict=True):
        for what, value in known.items():
            found = tokens.mean() if what == "mean" else np.percentile(tokens, what)
            # Of 50,000 draws the mean and the 99th percentile vary by 3 %; a median of 7 may be 8.
            assert found == pytest.approx(value, rel=0.09, abs=1)


@pytest.mark.parametrize("name", workload_names())
@pytest.mark.parametrize("suffix", [".json", ".model"])
def test_a_model_is_written_and_read_again(tmp_path, name, suffix):
    path = tmp_path / f"mine{suffix}"
    path.write_bytes(encode_workload(load_workload(name)))
    assert load_workload(str(path)) == load_workload(name)


GOOD = """
name = "mine"
clip = [100, 10]
max_new_tokens = 10
[mixture]
w = [1.0]
mean_ln = [[3.0, 1.0]]
cov_ln = [[0.5, 0.1, 0.5]]
[arrivals]
process = "gamma"
rate = 2
shape = 0.5
"""


def test_a_model_can_be_written_by_hand(tmp_path):
    (tmp_path / "mine.toml").write_text(GOOD)
    made = generate_from(load_workload(str(tmp_path / "mine.toml")), requests=100, seed=0)
    assert made.has_times
    assert made.output_tokens.max() <= 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('process = "gamma"', 'process = "gama"'), "arrivals.process: Invalid value 'gama'"),
        (("shape = 0.5", "shape = inf"), "arrivals gamma: shape is inf, expected a positive number"),
        (("shape = 0.5", "shape = -1"), "arrivals.shape: Expected `float` > 0"),
        (("rate = 2", "rate = 2\nrat = 2"), "unknown field `rat`"),
        (("w = [1.0]", "w = [0.5, 0.5]"), "w, mean_ln and cov_ln must have the same length"),
        (("w = [1.0]", "w = [nan]"), "all shares in w must be positive"),
        (("[[3.0, 1.0]]", "[[inf, 1.0]]"), "must be finite"),
        (("[[0.5, 0.1, 0.5]]", "[[0.5, 0.6, 0.5]]"), "cov_ln[0] is not a covariance"),
        (("clip = [100, 10]", "clip = [100, 0]"), "clip[1]: Expected `int` >= 1"),
        (('name = "mine"', "name = "), "is not TOML"),
    ],
)
def test_a_mistake_names_file_and_key(tmp_path, change, message):
    (tmp_path / "mine.toml").write_text(GOOD.replace(*change))
    with pytest.raises(InvalidScenario) as caught:
        load_workload(str(tmp_path / "mine.toml"))
    assert message in str(caught.value)
    assert "mine.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(data=st.binary(max_size=60) | st.sampled_from([b"{}", b"[]", b"null", b"\xff\xfe", b'{"name": 1}']))
def test_whatever_a_file_holds_the_error_is_ours(tmp_path_factory, data):
    for suffix in (".json", ".toml"):
        path = tmp_path_factory.getbasetemp() / f"any{suffix}"
        path.write_bytes(data)
        with pytest.raises(InvalidScenario):
            load_workload(str(path))


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'ragpulse'"):
        load_workload("ragpuls")
    with pytest.raises(InvalidScenario, match="cannot read workload"):
        load_workload(str(tmp_path / "none.json"))


samples = st.lists(st.integers(0, 9), min_size=2, max_size=30)


@given(one=samples, other=samples)
def test_distances_are_those_of_scipy(one, other):
    expected = stats.ks_2samp(one, other, method="asymp").statistic
    assert ks_distance(np.array(one), np.array(other)) == pytest.approx(expected)


@given(pairs=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=30))
def test_rank_correlations_are_those_of_scipy(pairs):
    one, other = (np.array(column) for column in zip(*pairs, strict=True))
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        assert spearman(one, other) is None
    else:
        assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)
