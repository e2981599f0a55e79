"""The public traces themselves, where they lie beside the repository: the numbers that their descriptions give."""

import numpy as np
import pytest
from support.paths import SHARED

from warpgroup.workloads import read_trace, summarize_trace
from warpgroup.workloads.trace.prefix_sharing import NEVER_NS, block_ages_ns, hits_of

TRACES = SHARED / "traces"
AZURE = "azure_llm_2023/AzureLLMInferenceTrace_conv.csv.gz"
MOONCAKE = "mooncake_fast25/conversation_trace.0-2400s.jsonl.gz"
RAGPULSE = "ragpulse/0_trace.day0-4.jsonl.gz"
SHAREGPT_8K = "etalon_lengths/sharegpt_8k_filtered_stats_llama2_tokenizer.csv.gz"
BWB = "etalon_lengths/bwb_stats_llama2_tokenizer_filtered_v2.csv.gz"
LMSYS = "nanoflow_lengths/lmsys.rows1-80000.csv.gz"
SHAREGPT = "nanoflow_lengths/sharegpt.csv.gz"
WEKA = "weka_claude_code/traces.first60.jsonl.gz"
DEEPSEEK_R1 = "servegen/reason_deepseek-r1.odd_clients.tar.gz"
M_LARGE = "servegen/language_m-large.odd_clients.tar.gz"

pytestmark = pytest.mark.skipif(not TRACES.is_dir(), reason="the shared traces are not here")


def read(file: str, **options):
    if not (TRACES / file).is_file():
        pytest.skip(f"{file} is not here")
    return read_trace(TRACES / file, max_new_tokens=10**6, **options)


def rounded(lengths) -> tuple[int, ...]:
    return tuple(round(value) for value in (lengths.mean, lengths.p50, lengths.p95, lengths.p99, lengths.max))


# Mean, median, p95, p99 and longest, as workloads were described; all of these files are whole.
WHOLE = {
    AZURE: ("azure", 19_366, (1155, 1020, 4083, 4142, 14050), (211, 129, 451, 601, 1000)),
    SHAREGPT_8K: ("etalon", 30_731, (2340, 1730, 6563, 7434, 8141), (439, 415, 920, 998, 1024)),
    BWB: ("etalon", 33_768, (1067, 1037, 1584, 1800, 3504), (1613, 1601, 2342, 2533, 2858)),
    SHAREGPT: ("nanoflow", 58_787, (299, 36, 1625, 3473, 241402), (324, 280, 846, 999, 37622)),
}


@pytest.mark.parametrize("file", WHOLE)
def test_a_whole_trace_has_the_published_lengths(file):
    trace, (format, requests, prompt, output) = read(file), WHOLE[file]
    summary = summarize_trace(trace)
    assert (trace.source.format, len(trace), trace.source.dropped, trace.source.repaired) == (format, requests, {}, {})
    assert (rounded(summary.prompt_tokens), rounded(summary.output_tokens)) == (prompt, output)


def test_azure_has_the_published_arrivals():
    summary = summarize_trace(read(AZURE))
    assert summary.span_s == pytest.approx(3501.7, abs=0.05)
    assert summary.rate_s == pytest.approx(5.53, abs=0.005)
    assert summary.cv == pytest.approx(1.09, abs=0.005)


# Of these a part is here: what is known of the whole holds nearly.
PARTS = {
    MOONCAKE: ("mooncake", 7_851, 12_035, 343, {}),
    RAGPULSE: ("ragpulse", 5_167, 2_944, 283, {}),
    LMSYS: ("nanoflow", 80_000, 92, 207, {}),
}


@pytest.mark.parametrize("file", PARTS)
def test_a_part_of_a_trace_is_like_the_whole(file):
    trace, (format, requests, prompt, output, dropped) = read(file), PARTS[file]
    assert (trace.source.format, len(trace), trace.source.dropped) == (format, requests, dropped)
    assert trace.prompt_tokens.mean() == pytest.approx(prompt, rel=0.05)
    assert trace.output_tokens.mean() == pytest.approx(output, rel=0.05)


def test_mooncake_comes_in_steps_of_three_seconds():
    trace = read(MOONCAKE)
    steps = np.diff(np.unique(trace.arrival_ns)) / 1e9
    assert (steps > 2.99).all()
    assert trace.arrival_ns[-1] / 1e9 < 2400
    assert trace.prompt_tokens.max() <= 126_195


def test_ragpulse_is_two_streams_that_are_merged():
    trace = read(RAGPULSE)
    assert trace.source.repaired == {"time_went_back_sorted": 1}
    assert trace.arrival_ns[-1] <= 431_999 * 10**9


def test_weka_has_all_requests_of_all_sessions_and_subagents():
    """4,083 requests, and 121 within 11 subagents; one has no output."""
    trace = read(WEKA)
    assert (trace.source.format, trace.has_times) == ("weka", False)
    assert (trace.source.rows_read, trace.source.dropped) == (4_083 + 121, {"output_tokens_zero": 1})
    assert 50_000 < np.median(trace.prompt_tokens) < 150_000
    assert 100 < np.median(trace.output_tokens) < 400


def test_mooncake_shares_what_is_published():
    """Of the whole: 37.4 %, and 4.4, 6.0, 10.5 and 29 % within 10, 30, 60 and 300 s; 76 % of blocks are used once."""
    sharing = summarize_trace(read(MOONCAKE, prefix=True)).prefix
    assert sharing.requests == 7_851
    assert sharing.hit == pytest.approx(0.374, abs=0.02)
    assert list(sharing.hit_within.values()) == pytest.approx([0.044, 0.060, 0.105, 0.29], abs=0.005)
    assert sharing.used_once == pytest.approx(0.76, abs=0.01)


def test_of_wekas_prompts_nearly_all_is_the_one_before():
    trace = read(WEKA, prefix=True)
    conversations = summarize_trace(trace).conversations
    assert (conversations.conversations, conversations.waiting > 0.98) == (60, True)
    hits = hits_of(trace, trace.prefix, block_ages_ns(trace.prefix, trace.arrival_ns) < NEVER_NS)
    later = trace.turns.waits
    assert hits[later].sum() / trace.prompt_tokens[later].sum() == pytest.approx(0.965, abs=0.01)
    assert hits[~later].sum() == 0  # sessions share nothing


def test_servegens_clients_send_a_day_of_what_they_are_described_by():
    """Means by rate and distribution: 1,475 and 1,675 tokens; quantiles as of the mixture that was fitted to them."""
    trace = read(DEEPSEEK_R1, end_s=86_400)
    assert (trace.source.rows_read, trace.source.kept, trace.source.repaired) == (858_738, 858_738, {})
    assert trace.prompt_tokens.mean() == pytest.approx(1474.8, rel=0.01)
    assert trace.output_tokens.mean() == pytest.approx(1674.9, rel=0.01)
    assert np.median(trace.prompt_tokens) == pytest.approx(87, rel=0.1)
    assert np.median(trace.output_tokens) == pytest.approx(1088, rel=0.1)
    assert trace.output_tokens.max() == 32_768
    hours = np.bincount(trace.arrival_ns // (3600 * 10**9)) / 3600
    assert (hours.max(), hours.min()) == (pytest.approx(26.6, abs=0.1), pytest.approx(1.8, abs=0.1))


def test_servegens_clients_without_lengths_are_counted():
    """Of 30 clients 3, whose files were too large to be shared; they bring a fifth of the first hour's requests."""
    source = read(M_LARGE).source
    assert (source.rows_read, source.dropped) == (68_340, {"client_without_lengths": 13_199})
    assert "3.67 requests/s" in source.examples["client_without_lengths"]


def test_what_a_trace_was_before_it_still_is():
    """Runs and results name their trace by this hash."""
    hashes = {
        AZURE: "a8fe88216e8daac3",
        MOONCAKE: "a2c7e8a3a8df04a0",
        BWB: "91dc78dfa84840e6",
        LMSYS: "2a5ea724015ebcd3",
    }
    for file, expected in hashes.items():
        assert read_trace(TRACES / file).content_hash == expected
