"""Which prompts begin alike: read where a format says so, and where it can be believed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.prefixes import CONTENTS, blocks_of, chained
from support.trace_dialects import json_lines, ragpulse

from warpgroup.errors import InvalidTrace
from warpgroup.workloads import PrefixBlocks, Trace, read_trace
from warpgroup.workloads.reading import reading

MISFIT = "prefix_blocks_do_not_fit_the_prompt"
UNREADABLE = "prefix_blocks_not_readable"
GOOD = [0, 1, 2]
"""Of a prompt of 3 * 512 tokens."""


def read(folder: Path, text: str, **options) -> Trace:
    (folder / "t").write_text(text)
    return read_trace(folder / "t", **{"prefix": True, **options})


def mooncake(*rows: tuple[int, object], time_ms: int = 0) -> str:
    """Rows of prompt tokens and block ids."""
    return json_lines(
        [
            {"timestamp": time_ms + i, "input_length": prompt, "output_length": 5, "hash_ids": ids}
            for i, (prompt, ids) in enumerate(rows)
        ]
    )


def lists(prefix: PrefixBlocks) -> list[list[int]]:
    return [part.tolist() for part in np.split(prefix.ids, prefix.ends[:-1])]


def test_mooncakes_blocks_are_read_as_they_stand_if_asked_for(tmp_path):
    text = mooncake((700, [0, 7]), (512, [9]), (1024, [0, 8]), (1025, [0, 8, 3]))
    trace = read(tmp_path, text)
    assert trace.prefix.block_tokens == 512
    assert lists(trace.prefix) == [[0, 7], [9], [0, 8], [0, 8, 3]]
    assert trace.source.repaired == {}
    assert read(tmp_path, text, prefix=False).prefix is None


def test_bailians_blocks_have_16_tokens(tmp_path):
    rows = [
        {
            "chat_id": i,
            "parent_chat_id": -1,
            "timestamp": i,
            "input_length": prompt,
            "output_length": 1,
            "hash_ids": ids,
        }
        for i, (prompt, ids) in enumerate([(33, [5, 6, 7]), (16, [5]), (20, [5, 9])])
    ]
    trace = read(tmp_path, json_lines(rows))
    assert (trace.prefix.block_tokens, lists(trace.prefix)) == (16, [[5, 6, 7], [5], [5, 9]])


def test_ragpulses_chunks_are_no_blocks(tmp_path):
    trace = read(tmp_path, ragpulse([(0, 374, 44), (1000, 10, 4)]))
    assert (trace.source.format, trace.prefix, trace.source.repaired) == ("ragpulse", None, {})


def weka(*sessions: list[list[int]]) -> str:
    """Sessions of prompts of whole blocks, and a few tokens."""
    return json_lines(
        [
            {"requests": [{"t": 0, "in": 64 * len(ids) + 3, "out": 5, "hash_ids": ids} for ids in prompts]}
            for prompts in sessions
        ]
    )


@settings(deadline=None)
@given(sessions=st.lists(CONTENTS, min_size=1, max_size=3))
def test_wekas_blocks_are_told_apart_by_session_and_by_what_is_before_them(tmp_path_factory, sessions):
    """Against plain chains of (session, contents); of no prompt is any block known if all are shorter."""
    prefix = read(tmp_path_factory.mktemp("weka"), weka(*sessions)).prefix
    apart = [[(number, *each[:1]), *each[1:]] if each else [] for number, rows in enumerate(sessions) for each in rows]
    expected = chained(apart)
    if not any(expected):
        assert prefix is None
        return
    assert (prefix.block_tokens, prefix.counts.tolist()) == (64, [len(row) for row in expected])
    pairs = set(zip(prefix.ids.tolist(), (each for row in expected for each in row), strict=True))
    assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})


def test_blocks_go_with_their_rows(tmp_path):
    """A row is dropped, and two are put in order."""
    rows = [(5, 512, 1, [4]), (3, 512, 0, [1]), (2, 1000, 1, [4, 2]), (9, 10, 1, [3])]
    text = json_lines(
        [{"timestamp": t, "input_length": p, "output_length": o, "hash_ids": ids} for t, p, o, ids in rows]
    )
    trace = read(tmp_path, text)
    assert trace.prompt_tokens.tolist() == [1000, 512, 10]
    assert lists(trace.prefix) == [[4, 2], [4], [3]]


@pytest.mark.parametrize(
    "ids",
    [
        *(5, True, "0,1,2", {"a": [0]}, [0, "1", 2], [0, -1, 2], [0, 1.5, 2], [0, 2**63, 2], [[0], 1, 2], [0, None, 2]),
        [0] * 3_000_000,
    ],
    ids=lambda ids: str(ids)[:20],
)
def test_what_is_no_list_of_ids_is_left_out_and_counted(tmp_path, ids):
    text = mooncake((1536, GOOD), (1536, ids), (1536, None))
    trace = read(tmp_path, text)
    assert lists(trace.prefix) == [GOOD, [], []]
    assert (len(trace), trace.source.dropped, trace.source.repaired) == (3, {}, {UNREADABLE: 1})
    assert trace.source.examples == {UNREADABLE: "row 2: the prefix blocks are not a list of ids"}
    with pytest.raises(InvalidTrace, match="row 2: the prefix blocks are not a list of ids .*strict"):
        read(tmp_path, text, strict=True)
    assert read(tmp_path, text, strict=True, prefix=False).source.repaired == {}


@pytest.mark.parametrize("count", [1, 2, 5, 1000])
def test_a_row_with_more_or_fewer_blocks_than_its_prompt_keeps_none(tmp_path, count):
    """1,700 tokens are 3 whole blocks and a part of one, which a format may leave out."""
    trace = read(tmp_path, mooncake((1700, [*GOOD, 3]), (1700, GOOD), (1700, list(range(count)))))
    assert lists(trace.prefix) == [[*GOOD, 3], GOOD, []]
    assert trace.source.repaired == {MISFIT: 1}
    assert trace.source.examples == {MISFIT: f"row 3: the number of prefix blocks is {count}, of 512 tokens each"}


@pytest.mark.parametrize("true_size", [16, 64, 1024])
def test_blocks_of_another_size_than_the_formats_are_not_believed(tmp_path, true_size):
    """A prompt below the smaller size has one block by either, and that one is left out as well."""
    rows = [(prompt, list(range(-(-prompt // true_size)))) for prompt in (10, 2000, 3000, 5000)]
    trace = read(tmp_path, mooncake(*rows))
    assert (len(trace), trace.prefix, trace.source.repaired) == (4, None, {MISFIT: 3})


def test_ids_that_say_nothing_of_what_is_before_them_are_not_believed(tmp_path):
    text = mooncake((1024, [0, 1]), (1024, [0, 2]), (1024, [3, 2]))
    trace = read(tmp_path, text)
    reason = "prefix_blocks_do_not_say_what_is_before"
    assert (trace.prefix, trace.source.repaired) == (None, {reason: 1})
    assert trace.source.examples[reason] == "row 3: block 2 follows another block than it did earlier"
    with pytest.raises(InvalidTrace, match="strict"):
        read(tmp_path, text, strict=True)


def test_more_blocks_than_memory_is_given_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_BLOCKS", 3)
    with pytest.raises(InvalidTrace, match="more than 3 prefix blocks: cut it"):
        read(tmp_path, mooncake((1024, [0, 1]), (1024, [0, 2])))


@given(contents=CONTENTS, data=st.data())
def test_blocks_break_where_the_same_one_follows_two_others(contents, data):
    """Numbers as they must be never do; of any others, against a plain dictionary."""
    assert not blocks_of(16, contents).breaks.any()
    flat = [each for row in contents for each in row]
    prefix = PrefixBlocks.of_lists(16, np.array([len(row) for row in contents]), np.array(flat, dtype=np.int64))
    last: dict[int, int] = {}
    expected = []
    for row in contents:
        for before, each in zip([-1, *row], row, strict=False):
            expected.append(last.get(each, before) != before)
            last[each] = before
    assert prefix.breaks.tolist() == expected
