"""The canonical trace file keeps a trace whole, and refuses what is none."""

from contextlib import suppress
from dataclasses import replace

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.conversations import conversations
from support.prefixes import CONTENTS, blocks_of
from support.trace_dialects import vidur

from warpgroup.errors import InvalidTrace, OutputRefused
from warpgroup.workloads import Trace, read_trace
from warpgroup.workloads.reading.canonical import is_canonical, read_canonical, write_trace
from warpgroup.workloads.trace.prefix_blocks import PrefixBlocks
from warpgroup.workloads.trace.turns import Turns

ROWS = st.lists(st.tuples(st.integers(0, 10**12), st.integers(1, 10**6), st.integers(1, 50)), min_size=1, max_size=40)


def same(a: Trace, b: Trace) -> bool:
    columns = all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in ("arrival_ns", "prompt_tokens", "output_tokens")
    )
    for what, names in (("turns", ("session", "after_id", "think_ns")), ("prefix", ("block_tokens", "ends", "ids"))):
        one, other = getattr(a, what), getattr(b, what)
        columns &= (one is None) == (other is None)
        columns &= one is None or all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)
    return columns and (a.name, a.max_new_tokens, a.has_times, a.source) == (
        b.name,
        b.max_new_tokens,
        b.has_times,
        b.source,
    )


@settings(deadline=None)  # the first one imports pyarrow
@given(rows=ROWS)
def test_what_was_written_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("canonical") / "trace.parquet"
    trace = Trace.of_rows(sorted(rows), max_new_tokens=50, name="a 'trace' of <ours>")
    write_trace(trace, path)
    assert is_canonical(path)
    assert same(read_canonical(path), trace)
    assert same(read_trace(path), trace)
    assert read_canonical(path).content_hash == trace.content_hash


@settings(deadline=None, max_examples=40)
@given(trace=conversations(), contents=CONTENTS)
def test_conversations_and_prefix_blocks_are_kept(tmp_path_factory, trace, contents):
    path = tmp_path_factory.mktemp("canonical") / "trace.parquet"
    blocks = blocks_of(16, [*contents, *[[]] * len(trace)][: len(trace)])
    for written in (trace, replace(trace, prefix=blocks), replace(trace, turns=None, prefix=blocks)):
        write_trace(written, path)
        assert same(read_canonical(path), written)
        assert same(read_trace(path, prefix=True), written)
        assert same(read_trace(path), replace(written, prefix=None))


def test_blocks_that_do_not_say_what_is_before_them_are_refused(tmp_path):
    blocks = PrefixBlocks.of_lists(16, np.array([2, 1]), np.array([1, 2, 2]))
    trace = Trace.of_rows([(0, 30, 4), (5, 16, 7)], max_new_tokens=9)
    write_trace(replace(trace, prefix=blocks), tmp_path / "t.parquet")
    with pytest.raises(InvalidTrace, match="follow different blocks: convert it again"):
        read_canonical(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("after_id", [-1, 1]),  # itself
        ("after_id", [-1, -1]),  # nobody, and yet it waits
        ("think_ns", [-1, -2]),
        ("arrival_ns", [0, 5]),  # not that of the one that it waits for
    ],
)
def test_a_request_that_does_not_wait_for_an_earlier_one_is_refused(tmp_path, name, values):
    path = tmp_path / "t.parquet"
    pair = Trace.of_rows([(0, 3, 4), (0, 5, 6)], max_new_tokens=9)
    write_trace(replace(pair, turns=Turns(*(np.array(v) for v in ([0, 0], [-1, 0], [-1, 7])))), path)
    table = pq.read_table(path)
    place = table.column_names.index(name)
    pq.write_table(table.set_column(place, name, pa.array(values, pa.int64())), path)
    with pytest.raises(InvalidTrace, match="row 1: session 0, after_id .* convert it again"):
        read_canonical(path)


def test_pauses_that_no_run_can_hold_are_refused(tmp_path):
    pair = Trace.of_rows([(0, 3, 4), (0, 5, 6)], max_new_tokens=9)
    turns = Turns(*(np.array(v) for v in ([0, 0], [-1, 0], [-1, 2**62 + 2**61])))
    write_trace(replace(pair, turns=turns), tmp_path / "t.parquet")
    assert read_canonical(tmp_path / "t.parquet").turns.think_ns[1] > 0
    longer = Turns(turns.session, turns.after_id, np.array([-1, 2**63 - 1]))
    write_trace(replace(pair, turns=longer), tmp_path / "t.parquet")
    with pytest.raises(InvalidTrace, match="spans more than 9e\\+09 s"):
        read_canonical(tmp_path / "t.parquet")


def test_a_file_that_lost_rows_or_has_lengths_beyond_all_others_is_refused(tmp_path):
    path = tmp_path / "t.parquet"
    write_trace(Trace.of_rows([(0, 3, 4), (5, 6, 7)], max_new_tokens=9), path)
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 1), path)
    with pytest.raises(InvalidTrace, match="holds 1 requests, but says that 2 of 2 rows were kept"):
        read_canonical(path)
    pq.write_table(table.set_column(1, "prompt_tokens", pa.array([3, 2**62])), path)
    with pytest.raises(InvalidTrace, match="row 1: .* is no valid request"):
        read_canonical(path)


def test_strict_reading_refuses_what_was_made_of_rows_that_could_not_be_used(tmp_path):
    (tmp_path / "t").write_text(vidur([(0, 5, 5), (1000, 5, 0), (2000, 5, 5)]))
    write_trace(read_trace(tmp_path / "t"), tmp_path / "c.parquet")
    assert len(read_trace(tmp_path / "c.parquet")) == 2
    with pytest.raises(InvalidTrace, match="row 3: .* strict reading refuses it"):
        read_trace(tmp_path / "c.parquet", strict=True)


def test_the_same_trace_gives_the_same_bytes(tmp_path):
    trace = Trace.of_rows([(0, 3, 4), (5, 6, 7)], max_new_tokens=9)
    for name in ("a.parquet", "b.parquet"):
        write_trace(trace, tmp_path / name)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.parquet", "b.parquet"]


def test_a_smaller_limit_clips_and_counts(tmp_path):
    trace = Trace.of_rows([(0, 3, 4), (5, 6, 7), (6, 1, 9)], max_new_tokens=9)
    write_trace(trace, tmp_path / "t.parquet")
    read = read_canonical(tmp_path / "t.parquet", max_new_tokens=5)
    assert read.output_tokens.tolist() == [4, 5, 5]
    assert read.source.repaired == {"output_clipped_to_max_new_tokens": 2}
    with pytest.raises(InvalidTrace, match="max_new_tokens is 0"):
        read_canonical(tmp_path / "t.parquet", max_new_tokens=0)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"arrival_ns": [5, 4], "prompt_tokens": [1, 1], "output_tokens": [1, 1]}, "row 1: arrival_ns 4"),
        ({"arrival_ns": [0], "prompt_tokens": [0], "output_tokens": [1]}, "prompt_tokens 0"),
        ({"arrival_ns": [0], "prompt_tokens": [1], "output_tokens": [10]}, "output_tokens 10"),
        ({"arrival_ns": [0], "prompt_tokens": [1.5], "output_tokens": [1]}, "prompt_tokens is not a column of whole"),
        ({"arrival_ns": [None], "prompt_tokens": [1], "output_tokens": [1]}, "arrival_ns is not a column of whole"),
        ({"arrival_ns": [0], "prompt_tokens": [1]}, "damaged"),
        (
            {name: pa.array([], pa.int64()) for name in ("arrival_ns", "prompt_tokens", "output_tokens")},
            "holds no request",
        ),
    ],
)
def test_what_no_trace_may_hold_is_refused_in_one_line(tmp_path, columns, message):
    write_trace(Trace.of_rows([(0, 1, 1)], max_new_tokens=9), tmp_path / "good.parquet")
    about = pq.read_schema(tmp_path / "good.parquet").metadata
    pq.write_table(pa.table(columns).replace_schema_metadata(about), tmp_path / "bad.parquet")
    with pytest.raises(InvalidTrace, match=message) as refused:
        read_canonical(tmp_path / "bad.parquet")
    assert "\n" not in str(refused.value)


def test_a_newer_schema_is_named(tmp_path):
    path = tmp_path / "t.parquet"
    write_trace(Trace.of_rows([(0, 1, 1)], max_new_tokens=9), path)
    table = pq.read_table(path)
    about = msgspec.json.decode(table.schema.metadata[b"warpgroup.trace"]) | {"schema": 3}
    pq.write_table(table.replace_schema_metadata({"warpgroup.trace": msgspec.json.encode(about)}), path)
    with pytest.raises(InvalidTrace, match="has schema 3, but this version reads up to 2"):
        read_canonical(path)


@settings(deadline=None)
@given(cut=st.integers(1, 500), flip=st.integers(0, 499))
def test_a_damaged_file_is_refused_or_no_canonical_one(tmp_path_factory, cut, flip):
    path = tmp_path_factory.mktemp("damaged") / "t.parquet"
    write_trace(Trace.of_rows([(0, 3, 4), (5, 6, 7)], max_new_tokens=9), path)
    content = bytearray(path.read_bytes())
    content[flip % len(content)] ^= 0xFF
    path.write_bytes(bytes(content[: max(len(content) - cut % 7, 1)]))
    if is_canonical(path):
        with suppress(InvalidTrace):
            read_canonical(path)


def test_other_files_are_not_canonical(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "t.parquet")
    assert not is_canonical(tmp_path / "t.csv")
    assert not is_canonical(tmp_path / "t.parquet")
    assert not is_canonical(tmp_path / "missing")
    with pytest.raises(OutputRefused, match="cannot write"):
        write_trace(Trace.of_rows([(0, 1, 1)], max_new_tokens=9), tmp_path / "missing" / "t.parquet")
