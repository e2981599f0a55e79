"""Conversations, as far as formats have them: who follows whom, who waits for whom, and for how long."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.trace_dialects import DIALECTS, bailian, json_lines, weka_document, weka_lines

from warpgroup.errors import InvalidTrace
from warpgroup.workloads import read_trace, scan_trace
from warpgroup.workloads.reading.cleaning import Requests

MS = 10**6
ROWS = [(1000 * n, 10 + n, 5) for n in range(12)]


def scanned(tmp_path: Path, text: str | bytes) -> list[Requests]:
    path = tmp_path / "t"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with scan_trace(path) as scan:
        return list(scan)


def turns_of(tmp_path: Path, text: str | bytes) -> list[tuple[int, int, int, int]]:
    """Row, conversation, the row before, the pause."""
    return [
        turn
        for requests in scanned(tmp_path, text)
        for turn in zip(
            *(
                column.tolist()
                for column in (requests.row, requests.turns.session, requests.turns.after_row, requests.turns.think_ns)
            ),
            strict=True,
        )
    ]


def test_bailian_says_which_chat_a_chat_follows(tmp_path):
    chats = [(7, -1), (8, -1), (9, 7), (10, 9), (11, 99), (12, 8)]
    text = json_lines(
        [
            {"chat_id": chat, "parent_chat_id": parent, "timestamp": i / 2, "input_length": 5, "output_length": 5}
            for i, (chat, parent) in enumerate(chats)
        ]
    )
    assert turns_of(tmp_path, text) == [
        (1, 0, 0, -1), (2, 1, 0, -1), (3, 0, 1, -1), (4, 0, 3, -1), (5, 2, 0, -1), (6, 1, 2, -1)
    ]  # fmt: skip


def test_a_turn_whose_predecessor_was_dropped_follows_the_one_before_it(tmp_path):
    text = bailian([(0, 5, 5), (1000, 5, 0), (2000, 5, 5)])
    assert turns_of(tmp_path, text) == [(1, 0, 0, -1), (3, 0, 1, -1)]
    agent = {"id": "a", "requests": [{"t": t, "in": 1, "out": t % 3, "think_time": t} for t in range(8)]}
    text = json_lines([agent])  # of which 0, 3 and 6 have no output
    assert turns_of(tmp_path, text) == [
        (2, 0, 0, -1), (3, 0, 2, 2000 * MS), (5, 0, 3, 4000 * MS), (6, 0, 5, 5000 * MS), (8, 0, 6, 7000 * MS)
    ]  # fmt: skip
    assert read_trace(tmp_path / "t").turns.after_id.tolist() == [-1, 0, 1, 2, 3]


def test_a_turn_without_a_time_waits_for_the_one_before_it_and_then_for_its_delay(tmp_path):
    text = json_lines(
        [
            {"session_id": "a", "timestamp": 100, "input_length": 5, "output_length": 5},
            {"session_id": "a", "delay": 250, "input_length": 6, "output_length": 5},
            {"session_id": "b", "timestamp": 200, "input_length": 7, "output_length": 5},
            {"session_id": "a", "input_length": 8, "output_length": 5},
            {"session_id": "c", "delay": 5, "input_length": 9, "output_length": 5},
        ]
    )
    assert turns_of(tmp_path, text) == [(1, 0, 0, -1), (2, 0, 1, 250 * MS), (3, 1, 0, -1), (4, 0, 2, 0)]
    trace = read_trace(tmp_path / "t")
    assert (trace.prompt_tokens.tolist(), (trace.arrival_ns // MS).tolist()) == ([5, 6, 8, 7], [0, 0, 0, 100])
    assert trace.source.dropped == {"time_not_readable": 1}
    assert not trace.source.repaired
    assert (trace.turns.after_id.tolist(), trace.turns.think_ns.tolist()) == ([-1, 0, 1, -1], [-1, 250 * MS, 0, -1])


def test_aiperf_without_any_time_has_lengths_and_pauses(tmp_path):
    text = json_lines([{"session_id": "a", "delay": 250, "input_length": 6, "output_length": 5}] * 2)
    assert turns_of(tmp_path, text) == [(1, 0, 0, -1), (2, 0, 1, 250 * MS)]
    assert not read_trace(tmp_path / "t").has_times


def test_a_prompt_given_as_text_has_no_length(tmp_path):
    text = json_lines(
        [{"text_input": "Hello", "output_length": 4}, {"timestamp": 9, "input_length": 5, "output_length": 5}]
    )
    scanned(tmp_path, text)
    assert read_trace(tmp_path / "t").source.dropped == {"prompt_tokens_not_a_number": 1}


def test_weka_requests_follow_each_other_and_subagents_the_request_that_started_them(tmp_path):
    agent = {"t": 1.5, "type": "subagent", "requests": [{"t": 0, "in": 3, "out": 1}, {"t": 1, "in": 4, "out": 1}]}
    session = {
        "id": "a",
        "requests": [
            {"t": 0, "in": 1, "out": 1, "think_time": 0.5},
            agent,
            {"t": 9, "in": 2, "out": 1, "think_time": 3},
        ],
    }
    assert turns_of(tmp_path, json_lines([session, session])) == [
        (1, 0, 0, -1), (2, 0, 1, 0), (3, 0, 2, 0), (4, 0, 1, 3000 * MS),
        (5, 1, 0, -1), (6, 1, 5, 0), (7, 1, 6, 0), (8, 1, 5, 3000 * MS),
    ]  # fmt: skip


def test_a_weka_session_is_the_same_alone_over_many_lines_or_on_one(tmp_path):
    (tmp_path / "one").write_text(weka_document(ROWS))
    (tmp_path / "other").write_text(json.dumps(json.loads(weka_document(ROWS))))
    assert read_trace(tmp_path / "one").content_hash == read_trace(tmp_path / "other").content_hash


def test_weka_subagents_within_subagents_end_somewhere(tmp_path):
    entry = {"t": 0, "in": 7, "out": 1}
    for _ in range(20):
        entry = {"type": "subagent", "requests": [{"t": 0, "in": 5, "out": 1}, entry]}
    trace_file = tmp_path / "t"
    trace_file.write_text(json.dumps({"id": "a", "t": 0, "in": 1, "requests": [entry]}))
    source = read_trace(trace_file).source
    assert source.dropped == {"unreadable_row": 2}  # what lies too deep, as one row, and what is beside it


def test_a_broken_entry_of_a_weka_session_is_one_row(tmp_path):
    text = weka_lines(ROWS).replace('"in": 13', '"in": "many"')
    (tmp_path / "t").write_text(text)
    source = read_trace(tmp_path / "t").source
    assert (source.rows_read, source.dropped) == (12, {"unreadable_row": 1})
    assert source.examples["unreadable_row"].startswith('row 4: \'{"t": 3.0')


def test_conversations_of_burstgpt_and_ragpulse_have_numbers(tmp_path):
    assert [turn[1] for turn in turns_of(tmp_path, DIALECTS["burstgpt 3"].file(ROWS))] == [0, *[-1] * 9, 1, -1]
    assert {turn[1] for turn in turns_of(tmp_path, DIALECTS["ragpulse"].file(ROWS))} == {0}


def test_formats_without_conversations_have_no_turns(tmp_path):
    assert all(requests.turns is None for requests in scanned(tmp_path, DIALECTS["azure 2023"].file(ROWS)))


def test_pauses_that_64_bits_do_not_hold_are_refused(tmp_path):
    turns = [{"session_id": "a", "delay": 8e12, "input_length": 6, "output_length": 5}] * 4
    with pytest.raises(InvalidTrace, match=r"4 requests take 2.4e\+10 s: is the time in another unit"):
        turns_of(tmp_path, json_lines(turns))


def test_a_scan_has_the_rows_of_the_trace(tmp_path):
    for dialect in DIALECTS.values():
        chunks = scanned(tmp_path, dialect.file(ROWS))
        trace = read_trace(tmp_path / "t")
        assert np.concatenate([chunk.prompt_tokens for chunk in chunks]).tolist() == trace.prompt_tokens.tolist()
        times = np.concatenate([chunk.time_ns for chunk in chunks])
        assert (times - times[0]).tolist() == trace.arrival_ns.tolist()


@pytest.mark.parametrize("delay", [-2000, 1e300])
def test_a_pause_that_cannot_be_is_none_and_counted(tmp_path, delay):
    turns = [{"session_id": "a", "delay": delay, "input_length": 6, "output_length": 5}] * 3
    text = json_lines([{"session_id": "a", "timestamp": 0, "input_length": 6, "output_length": 5}, *turns])
    (tmp_path / "t").write_text(text)
    trace = read_trace(tmp_path / "t")
    assert trace.turns.think_ns.tolist() == [-1, 0, 0, 0]
    assert trace.source.repaired == {"pause_taken_for_none": 3}
    with pytest.raises(InvalidTrace, match="row 2: the pause before it is negative or too long"):
        read_trace(tmp_path / "t", strict=True)
    agent = {"id": "a", "t": 0, "in": 1, "requests": [{"t": 0, "in": 1, "out": 1, "think_time": delay}] * 3}
    (tmp_path / "w").write_text(json_lines([agent]))
    assert read_trace(tmp_path / "w").source.repaired == {"pause_taken_for_none": 2}
