"""Trace files: every dialect gives the same integers, and nothing is dropped without being counted."""

import gzip
import os
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support.trace_dialects import DIALECTS, azure_2024, vidur

from warpgroup.errors import InvalidTrace
from warpgroup.workloads import read_trace

MS = 1_000_000
PACKED = gzip.compress(b"num_prefill_tokens,num_decode_tokens\n5,5\n", mtime=0)

rows = st.lists(
    st.tuples(st.integers(0, 10**7), st.integers(1, 10**5), st.integers(1, 1000)), min_size=2, max_size=40
).map(sorted)
quick = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(path: Path, text: str | bytes, **options):
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_trace(path, **options)


@pytest.mark.parametrize("name", DIALECTS)
@given(table=rows)
@quick
def test_every_dialect_gives_back_its_integers(tmp_path, name, table):
    dialect = DIALECTS[name]
    trace = read(tmp_path / "t.csv", dialect.file(table))
    assert (trace.source.format, trace.has_times) == (dialect.format, dialect.tick_ms > 0)
    assert (trace.source.rows_read, trace.source.dropped, trace.source.repaired) == (len(table), {}, {})
    assert trace.prompt_tokens.tolist() == [prompt for _, prompt, _ in table]
    assert trace.output_tokens.tolist() == [output for _, _, output in table]
    ticks = [ms // dialect.tick_ms * dialect.tick_ms if dialect.tick_ms else 0 for ms, _, _ in table]
    assert (trace.arrival_ns // MS).tolist() == [tick - ticks[0] for tick in ticks]


@given(
    table=rows,
    damage=st.lists(st.tuples(st.integers(0, 39), st.integers(1, 2), st.text("0123456789.-eNaX,\"' ", max_size=8))),
)
@quick
def test_whatever_is_in_a_row_it_is_kept_or_counted(tmp_path, table, damage):
    lines = azure_2024(table).split("\n")
    for row, column, text in damage:
        if row < len(table):
            fields = lines[row + 1].split(",")
            fields[column % len(fields)] = text
            lines[row + 1] = ",".join(fields)
    try:
        trace = read(tmp_path / "t.csv", "\n".join(lines))
    except InvalidTrace as error:
        hypothesis.note(str(error))
        assume("no usable row" not in str(error))
        raise
    source = trace.source
    assert source.rows_read == len(table) or '"' in str(damage)  # quotes may make one row of two lines
    assert source.rows_read == source.kept + sum(source.dropped.values())
    assert (trace.prompt_tokens >= 1).all()
    assert ((trace.output_tokens >= 1) & (trace.output_tokens <= trace.max_new_tokens)).all()
    assert (np.diff(trace.arrival_ns) >= 0).all()


def test_gzip_is_recognised_whatever_the_name(tmp_path):
    assert len(read(tmp_path / "t.csv", gzip.compress(vidur([(0, 5, 6), (1000, 7, 8)]).encode()))) == 2


def test_a_bom_blank_lines_and_extra_columns_do_no_harm(tmp_path):
    header = "\ufeffTIMESTAMP,NumImages,ContextTokens,GeneratedTokens"
    text = f"{header}\n\n2024-10-15T12:00:00.269Z,0,5,6\n\n2024-10-15T12:00:01Z,1,7,8"
    trace = read(tmp_path / "t.csv", text)
    assert (trace.prompt_tokens.tolist(), trace.arrival_ns.tolist()) == ([5, 7], [0, 731 * MS])


def test_whole_numbers_may_be_written_with_a_fraction(tmp_path):
    trace = read(tmp_path / "t.csv", "num_prefill_tokens,num_decode_tokens\n12.0,3\n")
    assert trace.prompt_tokens.tolist() == [12]


def test_every_reason_names_its_first_row(tmp_path):
    lines = ["0,5,5", "1,0,5", "2,-3,5", "3,5,nan", "4,2.5,5", "5,5", "x,5,5", "6,9e99,5"]
    text = "\n".join(["arrived_at,num_prefill_tokens,num_decode_tokens", *lines])
    source = read(tmp_path / "t.csv", text).source
    assert source.examples == {
        "unreadable_row": "row 7: '5,5'",
        "prompt_tokens_zero": "row 3: prompt_tokens is 0",
        "prompt_tokens_negative": "row 4: prompt_tokens is -3",
        "output_tokens_not_a_number": "row 5: output_tokens is not a number",
        "prompt_tokens_not_an_integer": "row 6: prompt_tokens is 2.5",
        "prompt_tokens_too_large": "row 9: prompt_tokens is 9e+99",
        "time_not_readable": "row 8: the arrival time cannot be read",
    }
    assert set(source.dropped) == set(source.examples)
    assert source.kept == 1


def test_time_going_back_is_sorted_stably_and_counted(tmp_path):
    trace = read(tmp_path / "t.csv", vidur([(2000, 1, 1), (1000, 2, 1), (1000, 3, 1), (3000, 4, 1)]))
    assert trace.prompt_tokens.tolist() == [2, 3, 1, 4]
    assert trace.source.repaired == {"time_went_back_sorted": 1}


def test_outputs_beyond_the_limit_are_clipped_as_a_server_would(tmp_path):
    trace = read(tmp_path / "t.json", "[[5, 10], [5, 20]]", max_new_tokens=15)
    assert trace.output_tokens.tolist() == [10, 15]
    assert trace.source.repaired == {"output_clipped_to_max_new_tokens": 1}


def test_the_limit_is_the_formats_and_not_the_rows(tmp_path):
    short, long = read(tmp_path / "a", "[[5, 10]]"), read(tmp_path / "b", "[[5, 3000]]")
    assert short.max_new_tokens == long.max_new_tokens == 4096


def test_a_list_that_is_cut_off_keeps_its_whole_pairs_and_says_so(tmp_path):
    source = read(tmp_path / "t.json", "[[5, 10], [6, 11], [7,").source
    assert (source.kept, source.dropped) == (2, {"unreadable_row": 1})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: fetch it again"),
        (b" \n\n", "is empty"),
        (b"\x00\x01\x02\x03", "is not a text file"),
        (b"a,b\n\xff\xfe,1\n", "is not a text file (byte 4, row 2)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is a Git LFS pointer"),
        (gzip.compress(b"version https://git-lfs.github.com/spec/v1\n", mtime=0), "is a Git LFS pointer"),
        (PACKED[:-9], "damaged or truncated gzip"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b"time,in,out\n1,2,3\n", "has no known trace format (row 1: 'time,in,out'): name its columns"),
        (b'{"timestamp": 1}\n', "has no known trace format"),
        (b"num_prefill_tokens,num_decode_tokens\n", "holds no usable row: it has no rows"),
        (b"num_prefill_tokens,num_decode_tokens\n0,5\n", "prompt_tokens_zero 1 (first: row 2"),
        (b"[]", "holds no usable row"),
        (b"[[1, 2", "holds no usable row"),
        (b"arrived_at,num_prefill_tokens,num_decode_tokens\n0,5,5\n1e9,5,5\n", "is the time in another unit"),
        (
            b"arrived_at,num_prefill_tokens,num_decode_tokens\n0,5,5\n" + b"2e11,5,5\n" * 2,
            "the time of 2 of 3 rows cannot be read (first: row 3",
        ),
        (b"num_prefill_tokens,num_decode_tokens,num_prefill_tokens\n1,2,3\n", "has 2 columns 'num_prefill_tokens'"),
        (b"a," * (1 << 20), "row 1: the header is longer than 1 MiB"),
        (b'{"requests":[{"t":0,"in":5,"out":5}' + b",{}" * 1_000_000 + b"]}\n", "unreadable_row 1 (first: row 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_is_no_trace_is_refused_in_one_line(tmp_path, content, message):
    with pytest.raises(InvalidTrace) as caught:
        read(tmp_path / "bad.csv", content)
    assert message in str(caught.value)
    assert "bad.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InvalidTrace, match="does not exist"):
        read_trace(tmp_path / "missing.csv")
    with pytest.raises(InvalidTrace, match="is a folder"):
        read_trace(tmp_path)


@pytest.mark.parametrize("columns", [None, {"prompt": "a"}])
def test_a_pipe_and_a_device_are_refused_before_they_are_opened(tmp_path, columns):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path(os.devnull)):
        with pytest.raises(InvalidTrace, match="is a pipe or device: write it to a file first"):
            read_trace(path, columns=columns)


def test_an_unknown_format_is_told_in_a_short_sentence(tmp_path):
    with pytest.raises(InvalidTrace) as refused:
        read(tmp_path / "bad.csv", b"x" * 5000)
    assert len(str(refused.value).replace(str(tmp_path), "")) < 320
