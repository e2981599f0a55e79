"""Logs of other engines: what is understood, what is refused, and that no row is lost without a word."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warpgroup.errors import InvalidTrace
from warpgroup.workloads import read_request_log

ROWS = pd.DataFrame(
    {
        "request_id": ["b", "a", "c"],
        "num_prompt_tokens": [20, 10, 30],
        "num_generation_tokens": [5, 1, 7],
        "arrival_time": [101.5, 100.0, 102.25],
        "first_token_time": [102.0, 100.5, 103.0],
        "last_token_time": [104.0, 100.5, 110.0],
    }
)


def written(path, table=ROWS):
    writers = {
        ".csv": lambda: table.to_csv(path, index=False),
        ".jsonl": lambda: table.to_json(path, orient="records", lines=True),
        ".parquet": lambda: table.to_parquet(path),
        ".gz": lambda: path.write_bytes(gzip.compress(table.to_csv(index=False).encode())),
    }
    writers[path.suffix]()
    return path


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.parquet", "log.csv.gz"])
def test_every_kind_of_file_gives_the_same_requests_in_order_of_arrival(tmp_path, name):
    log = read_request_log(written(tmp_path / name))
    assert log.trace.arrival_ns.tolist() == [0, 1_500_000_000, 2_250_000_000]
    assert log.trace.prompt_tokens.tolist() == [10, 20, 30]
    assert log.trace.output_tokens.tolist() == [1, 5, 7]
    assert log.first_ns.tolist() == [500_000_000, 2_000_000_000, 3_000_000_000]
    assert log.last_ns.tolist() == [500_000_000, 4_000_000_000, 10_000_000_000]
    assert (log.same_clock, log.trace.max_new_tokens, log.trace.source.rows_read) == (True, 7, 3)


def test_columns_of_other_names_in_other_units_counted_from_the_arrival(tmp_path):
    table = pd.DataFrame({"p": [10, 20], "g": [3, 4], "t": [1000, 1500], "ttft": [200, 300], "total": [250, 900]})
    path = written(tmp_path / "log.csv", table)
    named = {"input": "p", "output": "g", "arrival": "t", "e2e": "total"}
    log = read_request_log(path, columns=named, unit="ms", max_new_tokens=100)
    assert log.trace.arrival_ns.tolist() == [0, 500_000_000]
    assert log.first_ns.tolist() == [200_000_000, 800_000_000]
    assert log.last_ns.tolist() == [250_000_000, 1_400_000_000]
    assert log.trace.max_new_tokens == 100


@pytest.mark.parametrize("offset", [-1e9, -101.0, 1e6])
def test_another_clock_is_noticed(tmp_path, offset):
    table = ROWS.assign(
        first_token_time=ROWS["first_token_time"] + offset, last_token_time=ROWS["last_token_time"] + offset
    )
    log = read_request_log(written(tmp_path / "log.csv", table))
    assert not log.same_clock
    assert (log.last_ns - log.first_ns).tolist() == pytest.approx([0, 2_000_000_000, 7_000_000_000], abs=300)


CELLS = st.one_of(
    st.integers(-3, 50).map(str),
    st.floats(-5, 200).map(repr),
    st.sampled_from(["", "nan", "inf", "x", "1e400", "99999999999999999999", "3.5", "'", "-0", '"4"']),
)
GOOD_ROW = st.tuples(st.integers(1, 999), st.integers(1, 99), st.floats(0, 50), st.floats(0, 9), st.floats(0, 9)).map(
    lambda row: [str(row[0]), str(row[1]), repr(row[2]), repr(row[2] + row[3]), repr(row[2] + row[3] + row[4])]
)
SPOILT = st.builds(
    lambda row, place, cell, more: [*row[:place], cell, *row[place + 1 :], *more],
    GOOD_ROW, st.integers(0, 4), CELLS, st.sampled_from([[], [], ["7"]]),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(GOOD_ROW, min_size=3, max_size=8), st.lists(SPOILT, max_size=4), st.randoms())
def test_whatever_is_in_a_log_every_row_is_kept_or_counted(tmp_path_factory, good, spoilt, random):
    rows = [*good, *spoilt]
    random.shuffle(rows)
    path = tmp_path_factory.mktemp("log") / "log.csv"
    path.write_text("input,output,arrival,first,last\n" + "".join(",".join(row) + "\n" for row in rows))
    log = read_request_log(path)
    source, trace = log.trace.source, log.trace
    assert source.rows_read == source.kept + sum(source.dropped.values()) == len(rows)
    assert len(good) <= source.kept == len(trace)
    assert trace.prompt_tokens.min() >= 1
    assert trace.output_tokens.min() >= 1
    assert (trace.arrival_ns[0], log.same_clock) == (0, True)
    assert (np.diff(trace.arrival_ns) >= 0).all()
    assert (log.first_ns >= trace.arrival_ns).all()
    assert (log.last_ns >= log.first_ns).all()


def test_one_odd_row_does_not_make_another_clock(tmp_path):
    table = pd.concat([ROWS, ROWS.assign(first_token_time=0.0, last_token_time=0.0).head(1)])
    log = read_request_log(written(tmp_path / "log.csv", table))
    assert log.same_clock
    assert log.trace.source.dropped == {"first_token_before_its_request": 1}


def test_a_first_token_at_the_very_arrival_is_taken(tmp_path):
    log = read_request_log(written(tmp_path / "log.csv", ROWS.assign(first_token_time=ROWS["arrival_time"])))
    assert log.same_clock
    assert log.first_ns.tolist() == log.trace.arrival_ns.tolist()


def test_durations_are_preferred_where_a_log_has_both(tmp_path):
    table = ROWS.assign(ttft=0.25, e2e=2.0, first_token_time=7e8, last_token_time=7e8 + 1)
    log = read_request_log(written(tmp_path / "log.csv", table))
    assert log.same_clock
    assert (log.first_ns - log.trace.arrival_ns).tolist() == [250_000_000] * 3
    assert (log.last_ns - log.trace.arrival_ns).tolist() == [2_000_000_000] * 3


@pytest.mark.parametrize("cell", ["1e20", "-99999999999999999999"])
def test_times_beyond_nanoseconds_are_dropped(tmp_path, cell):
    path = tmp_path / "log.csv"
    path.write_text(f"input,output,arrival,first,last\n5,4,1,2,3\n5,4,{cell},2,3\n5,4,1,2,{cell}\n")
    log = read_request_log(path)
    assert sum(log.trace.source.dropped.values()) == 2
    assert log.trace.arrival_ns.tolist() == [0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty: fetch it again"),
        ("input,output\n1,2\n", "has no column with a known name for arrival, first, last"),
        ("input,output,arrival,first,last\n", "no usable row: it has no rows"),
        ("input,output,arrival,first,last\n5,0,1,2,3\n5,4,1,3,2\n", "output_out_of_range 1, last_token_before_the_fir"),
    ],
)
def test_what_is_no_log_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "log.csv"
    path.write_text(content)
    with pytest.raises(InvalidTrace, match="log.csv") as refused:
        read_request_log(path)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"input": "x"}}, "has no column 'x' for input"),
        ({"columns": {"first": "arrival_time", "e2e": "arrival_time"}}, "not one of each"),
        ({"columns": {"prompt": "num_prompt_tokens"}}, "'prompt' is not one of input"),
        ({"unit": "min"}, "the time unit is 'min'"),
        ({"max_new_tokens": 3}, "an output of 7 tokens"),
    ],
)
def test_what_was_said_of_a_log_is_checked(tmp_path, options, message):
    with pytest.raises(InvalidTrace) as refused:
        read_request_log(written(tmp_path / "log.csv"), **options)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "name", ["none.csv", "broken.parquet", "broken.jsonl", "broken.csv.gz", "cut.csv.gz", "x.csv.zip", "folder.csv"]
)
def test_files_that_cannot_be_read(tmp_path, name):
    path = tmp_path / name
    if name.startswith("broken"):
        path.write_bytes(b"PAR1 or {not json\x00")
    elif name.startswith("cut"):
        path.write_bytes(gzip.compress(b"input,output\n" * 99)[:-9])
    elif name.startswith("x"):
        path.write_bytes(b"PK\x03\x04\xff\xfe")
    elif name.startswith("folder"):
        path.mkdir()
    with pytest.raises(InvalidTrace, match=name):
        read_request_log(path)


def test_json_lines_of_nested_things_are_refused(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps({"input": [1], "output": {}, "arrival": 1, "first": 2, "last": 3}) + "\n")
    with pytest.raises(InvalidTrace, match=r"log\.jsonl"):
        read_request_log(path)
