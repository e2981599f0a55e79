"""Every kind of damage that published traces have been seen with, each under its name, and that no row is lost."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from support.trace_dialects import azure_2023, azure_2024, burstgpt_1, json_lines, mooncake, ragpulse, vidur

from warpgroup.errors import InvalidTrace
from warpgroup.workloads import Trace, read_trace

ROWS = [(0, 10, 5), (1000, 20, 6), (2500, 30, 7)]
BURSTGPT = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1188123\n"


def read(tmp_path: Path, text: str | bytes, **options) -> Trace:
    path = tmp_path / "trace.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    trace = read_trace(path, **options)
    assert trace.source.rows_read == trace.source.kept + sum(trace.source.dropped.values())
    return trace


# 1. What is not the data, or only looks odd.


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda data: pa.compress(data, "zstd", asbytes=True)])
def test_1_a_git_lfs_pointer_is_named(tmp_path, pack):
    with pytest.raises(InvalidTrace, match="is a Git LFS pointer, not the data: run `git lfs pull`"):
        read(tmp_path, pack(LFS))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.rstrip(),
        lambda data: b"\n\n" + data.replace(b"\n", b"\n\n") + b"  \n\n",
        gzip.compress,
        lambda data: pa.compress(data, "zstd", asbytes=True),
    ],
    ids=["CRLF", "BOM", "no last newline", "blank lines", "gzip", "zstd"],
)
@pytest.mark.parametrize("write", [azure_2024, vidur, burstgpt_1, mooncake, ragpulse])
def test_1_line_ends_marks_and_packings_change_nothing(tmp_path, write, change):
    data = write(ROWS).encode()
    assert read(tmp_path, change(data)).content_hash == read(tmp_path, data).content_hash


# 2. Requests that failed.


def test_2_rows_without_output_are_dropped_and_counted(tmp_path):
    source = read(tmp_path, BURSTGPT + "5,GPT-4,10,3,13,API\n6,GPT-4,11,0,11,API\n1106,ChatGPT,0,0,0,API\n").source
    assert source.dropped == {"prompt_tokens_zero": 1, "output_tokens_zero": 1}
    assert source.examples["output_tokens_zero"] == "row 3: output_tokens is 0"


def test_2_or_their_prefill_is_kept_with_the_one_token_that_it_ends_with(tmp_path):
    text = BURSTGPT + "5,GPT-4,10,3,13,API\n6,GPT-4,11,0,11,API\n1106,ChatGPT,0,0,0,API\n"
    trace = read(tmp_path, text, zero_outputs="prefill-only")
    assert (trace.prompt_tokens.tolist(), trace.output_tokens.tolist()) == ([10, 11], [3, 1])
    assert trace.source.dropped == {"prompt_tokens_zero": 1}
    assert trace.source.repaired == {"output_zero_kept_as_prefill": 1}


def test_2_another_policy_is_none(tmp_path):
    with pytest.raises(InvalidTrace, match="zero_outputs is 'keep', expected drop or prefill-only"):
        read(tmp_path, vidur(ROWS), zero_outputs="keep")


# 3. Sums that are wrong.


@pytest.mark.parametrize(
    "text",
    [
        BURSTGPT + "5,GPT-4,10,3,13,API\n6,GPT-4,11,4,99,API\n7,GPT-4,11,4,,API\n",
        "num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio\n10,3,13,1\n11,4,99,1\n11,4,,1\n",
        json_lines([{"request_arrival_ts_s": s, "input_tokens": 11, "output_tokens": 4, "total_tokens": total}
                    for s, total in ((5, 15), (6, 99), (7, None))]),
    ],
    ids=["burstgpt", "etalon", "burstgpt lines"],
)  # fmt: skip
def test_3_a_total_that_is_not_the_sum_is_recomputed_and_counted(tmp_path, text):
    source = read(tmp_path, text).source
    assert (source.kept, source.dropped) == (3, {})
    assert source.repaired == {"total_tokens_recomputed": 1}
    assert source.examples["total_tokens_recomputed"].endswith("the total given is 99")


# 4. Times that are equal, or go back.


def test_4_rows_of_one_time_keep_their_order(tmp_path):
    trace = read(tmp_path, mooncake([(0, n, 5) for n in range(50, 1, -1)] + [(3000, 7, 7)]))
    assert trace.prompt_tokens.tolist() == [*range(50, 1, -1), 7]
    assert trace.source.repaired == {}


def test_4_two_streams_one_after_the_other_are_merged(tmp_path):
    first, second = [(1000 * n, 2 * n + 1, 5) for n in range(20)], [(1000 * n, 2 * n + 2, 5) for n in range(20)]
    trace = read(tmp_path, ragpulse([*first, *second]))
    assert trace.prompt_tokens.tolist() == list(range(1, 41))
    assert trace.source.repaired == {"time_went_back_sorted": 1}
    assert trace.source.examples["time_went_back_sorted"] == "row 21: earlier than the row before it"


def test_4_going_back_is_seen_in_files_of_many_blocks(tmp_path):
    text = "arrived_at,num_prefill_tokens,num_decode_tokens\n" + "".join(f"{n % 250_000},9,9\n" for n in range(500_000))
    trace = read(tmp_path, text)
    assert trace.source.repaired == {"time_went_back_sorted": 1}
    assert trace.source.examples == {"time_went_back_sorted": "row 250002: earlier than the row before it"}
    assert trace.arrival_ns.tolist() == [n * 10**9 for n in range(250_000) for _ in range(2)]


# 5. Lengths beyond any model's context are kept: what a model can hold is not the trace's business.


def test_5_long_requests_are_kept(tmp_path):
    assert read(tmp_path, mooncake([(0, 126_195, 5), (1000, 894_371, 5)])).prompt_tokens.max() == 894_371


# 6. Times in another unit than the format's.


@pytest.mark.parametrize(
    "text",
    [
        vidur([(n * 10**9, 5, 5) for n in range(3)]),  # seconds that were milliseconds, and more
        mooncake([(n * 1e-6, 5, 5) for n in range(30)]),
    ],
    ids=["too slow", "too fast"],
)
def test_6_a_rate_that_no_service_has_is_refused(tmp_path, text):
    with pytest.raises(InvalidTrace, match="which is implausible: is the time in another unit"):
        read(tmp_path, text)


def test_6_times_too_far_apart_for_nanoseconds_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("warpgroup.workloads.reading.cleaning._PLAUSIBLE_RATE", (0.0, 1e5))
    with pytest.raises(InvalidTrace, match="requests take 1.6e\\+10 s: is the time in another unit"):
        read(tmp_path, vidur([(-8 * 10**12, 5, 5), (8 * 10**12, 5, 5)]))


def test_6_dates_where_there_should_be_seconds_are_not_read_as_numbers(tmp_path):
    dates = azure_2023(ROWS).replace(
        "TIMESTAMP,ContextTokens,GeneratedTokens", "arrived_at,num_prefill_tokens,num_decode_tokens"
    )
    with pytest.raises(InvalidTrace, match="time_not_readable 3"):
        read(tmp_path, dates)


# 7. Times in coarse steps are replayed as they stand: requests of a tick come together.


def test_7_coarse_times_are_left_as_they_are(tmp_path):
    trace = read(tmp_path, mooncake([(3000 * (n // 10), 5, 5) for n in range(30)]))
    assert trace.arrival_ns.tolist() == [3 * 10**9 * (n // 10) for n in range(30)]


# 8. Counts of other tokenizers are lengths as any: the source names the format, and so whose they are.


def test_8_the_source_says_whose_tokens_they_are(tmp_path):
    assert read(tmp_path, mooncake(ROWS)).source.format == "mooncake"


# 9. Numbers as text, with fractions, negative, and what is none.

NUMBERS = [
    ("12", 12), ("12.0", 12), ("1.2e1", 12), (" 12 ", 12), ('"12"', 12), ("+12", 12),
    ("-12", "negative"), ("nan", "not_a_number"), ("NaN", "not_a_number"), ("", "not_a_number"),
    ("null", "not_a_number"), ("inf", "not_a_number"), ("1e999", "not_a_number"), ("0x0c", "not_a_number"),
    ("1_2", "not_a_number"), ("__import__('os')", "not_a_number"), ("12.5", "not_an_integer"), ("0", "zero"),
    ("1e10", "too_large"), ("9" * 40, "too_large"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "outcome"), NUMBERS)
@pytest.mark.parametrize("column", ["prompt_tokens", "output_tokens"])
def test_9_numbers_in_csv(tmp_path, text, outcome, column):
    fields = ["9", "9", text] if column == "output_tokens" else ["9", text, "9"]
    lines = ["arrived_at,num_prefill_tokens,num_decode_tokens", "0,3,3", ",".join(fields)]
    trace = read(tmp_path, "\n".join(lines))
    if isinstance(outcome, int):
        kept = trace.output_tokens if column == "output_tokens" else trace.prompt_tokens
        assert (kept.tolist(), trace.source.dropped) == ([3, outcome], {})
    else:
        assert (trace.source.dropped, trace.source.kept) == ({f"{column}_{outcome}": 1}, 1)


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        (12, 12), (12.0, 12), ("12", 12), ("12.0", 12), (None, "output_tokens_not_a_number"),
        (-12, "output_tokens_negative"), (12.5, "output_tokens_not_an_integer"), (0, "output_tokens_zero"),
        (10**30, "output_tokens_too_large"), (float("nan"), "unreadable_row"), (True, "unreadable_row"),
        ([12], "unreadable_row"), ({"a": 12}, "unreadable_row"), ("twelve", "unreadable_row"),
    ],
)  # fmt: skip
def test_9_numbers_in_json(tmp_path, value, outcome):
    rows = [{"timestamp": 0, "input_length": 3, "output_length": 3}]
    trace = read(tmp_path, json_lines([*rows, {"timestamp": 9, "input_length": 3, "output_length": value}]))
    if isinstance(outcome, int):
        assert (trace.output_tokens.tolist(), trace.source.dropped) == ([3, outcome], {})
    else:
        assert (trace.source.dropped, trace.source.kept) == ({outcome: 1}, 1)


def test_9_a_pickle_is_not_opened(tmp_path):
    with pytest.raises(InvalidTrace, match="is not a text file"):
        read(tmp_path, b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.")


# Strict reading.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            BURSTGPT + "5,A,10,3,13,API\n6,A,11,0,11,API\n7,A,-1,3,2,API\n",
            "row 3: output_tokens is 0 (output_tokens_zero)",
        ),
        (BURSTGPT + "5,A,10,3,13,API\n6,A,11,4,99,API\n", "row 3: the total given is 99 (total_tokens_recomputed)"),
        (BURSTGPT + "5,A,10,3,13,API\nhello\n", "row 3: 'hello' (unreadable_row)"),
        (BURSTGPT + "5,A,10,3,13,API\n4,A,10,3,13,API\n", "row 3: earlier than the row before it"),
        (BURSTGPT + "5,A,10,99999,100009,API\n", "row 2: output_tokens is 99999, limit 16384"),
        ("[[5, 5], [0, 5]]", "row 2: prompt_tokens is 0 (prompt_tokens_zero)"),
    ],
)
def test_strict_reading_refuses_at_the_first_row_that_would_be_changed(tmp_path, text, message):
    read(tmp_path, text)
    with pytest.raises(InvalidTrace) as refused:
        read(tmp_path, text, strict=True)
    assert message in str(refused.value)
    assert str(refused.value).endswith("strict reading drops and changes no row")
    assert "\n" not in str(refused.value)


def test_strict_reading_of_a_sound_file_is_reading(tmp_path):
    text = json.dumps([[prompt, output] for _, prompt, output in ROWS])
    assert read(tmp_path, text, strict=True).content_hash == read(tmp_path, text).content_hash
