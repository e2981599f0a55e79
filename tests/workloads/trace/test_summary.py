"""A trace in numbers: what arrives by itself, and what belongs together."""

from dataclasses import replace

import numpy as np
import pytest

from warpgroup.workloads import Trace, summarize_trace, with_arrivals
from warpgroup.workloads.trace.turns import Turns

S = 10**9


def with_turns(rows, session, after, think_s) -> Trace:
    think_ns = [-1 if each < 0 else each * S for each in think_s]
    turns = Turns(*(np.array(column, dtype=np.int64) for column in (session, after, think_ns)))
    return replace(Trace.of_rows(rows, max_new_tokens=9), turns=turns)


def test_conversations_are_counted_by_hand():
    """One of three turns, two of which wait; one of a single turn; and a request of none."""
    rows = [(0, 5, 5)] * 3 + [(S, 5, 5), (3 * S, 5, 5)]
    found = summarize_trace(with_turns(rows, [0, 0, 0, 7, -1], [-1, 0, 1, -1, -1], [-1, 2, 4, -1, -1])).conversations
    assert (found.conversations, found.turns.mean, found.turns.max) == (2, 2, 3)
    assert found.waiting == 2 / 5
    assert found.think_s == pytest.approx({"p50": 3, "p90": 3.8, "p99": 3.98})


def test_arrival_figures_are_of_what_comes_by_itself():
    """Those that wait have the arrival of what they wait for, and are no burst."""
    rows = [(i * S, 5, 5) for i in range(0, 300, 3) for _ in range(3)]
    before = np.arange(300)
    waits = before % 3 > 0
    looped = with_turns(rows, before // 3, np.where(waits, before - 1, -1), np.where(waits, 1, -1))
    summary, alone = summarize_trace(looped), summarize_trace(Trace.of_rows(rows[::3], max_new_tokens=9))
    assert (summary.requests, summary.arrivals) == (300, 100)
    for name in ("span_s", "rate_s", "cv", "idc"):
        assert getattr(summary, name) == getattr(alone, name)
    assert summary.cv == 0


def test_users_who_come_back_are_no_arrivals():
    trace = with_arrivals(Trace.of_rows([(0, 5, 5)] * 10, max_new_tokens=9), "users:2", seed=1)
    summary = summarize_trace(trace)
    assert (summary.arrivals, summary.rate_s) == (2, None)
    assert (summary.conversations.conversations, summary.conversations.waiting) == (0, 0.8)


def test_where_none_belong_together_there_are_no_conversations():
    trace = Trace.of_rows([(0, 5, 5)], max_new_tokens=9)
    assert summarize_trace(trace).conversations is None
    assert summarize_trace(replace(trace, turns=Turns.none(1))).conversations is None
