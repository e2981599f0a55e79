"""Closed loops stay whole, whatever is done to their trace."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.conversations import conversations

from warpgroup.errors import InvalidScenario
from warpgroup.workloads import (
    Trace,
    clip_context,
    dequantize,
    drop_beyond_context,
    head,
    mix,
    reshuffled,
    scale_rate,
    shuffle_lengths,
    slice_time,
    with_arrivals,
)
from warpgroup.workloads.trace.loops import begun_at, starts_ns
from warpgroup.workloads.trace.turns import Turns

S = 10**9


def links(trace: Trace) -> list[tuple[tuple[int, int], tuple[int, int], int]]:
    """Who waits for whom, by lengths, and for how long."""
    turns = trace.turns or Turns.none(len(trace))
    lengths = [*zip(trace.prompt_tokens.tolist(), trace.output_tokens.tolist(), strict=True)]
    rows = zip(turns.after_id.tolist(), turns.think_ns.tolist(), strict=True)
    return sorted((lengths[i], lengths[before], think) for i, (before, think) in enumerate(rows) if think >= 0)


def hold(trace: Trace) -> None:
    """What must hold of every trace."""
    assert (np.diff(trace.arrival_ns) >= 0).all()
    assert trace.arrival_ns[0] >= 0
    assert trace.turns is None or trace.turns.fault(trace.arrival_ns) is None


@given(trace=conversations(), seed=st.integers(0, 9))
def test_what_moves_loops_keeps_who_waits_for_whom(trace, seed):
    hold(trace)
    for made in (
        scale_rate(trace, 3.0),
        reshuffled(trace, seed),
        dequantize(trace, seed, quantum_s=4.0),
        with_arrivals(trace, "at-zero", seed),
        with_arrivals(trace, "poisson:2", seed),
        with_arrivals(trace, "trace", seed),
    ):
        hold(made)
        assert links(made) == links(trace)
        assert sorted(starts_ns(made)) == sorted(made.arrival_ns[~made.turns.waits] if made.turns else made.arrival_ns)


@given(trace=conversations(), seed=st.integers(0, 9))
def test_dealing_keeps_the_times_and_the_loops(trace, seed):
    made = reshuffled(trace, seed)
    assert starts_ns(made).tolist() == starts_ns(trace).tolist()
    assert sorted(made.prompt_tokens) == sorted(trace.prompt_tokens)


@given(trace=conversations(), other=conversations(), context=st.integers(2, 100), count=st.integers(1, 20))
def test_what_leaves_requests_out_leaves_a_whole_trace(trace, other, context, count):
    hold(head(trace, count))
    hold(clip_context(trace, context))
    hold(shuffle_lengths(trace, 1))
    if (trace.prompt_tokens + trace.output_tokens <= context).any():
        hold(drop_beyond_context(trace, context))
    half = int(trace.arrival_ns[-1]) / S
    cut = slice_time(trace, 0.0, half / 2 + 1e-9) if trace.arrival_ns[0] <= half / 2 * S else trace
    hold(cut)
    assert set(links(cut)) <= set(links(trace))
    if trace.arrival_ns[0] < trace.arrival_ns[-1] and other.arrival_ns[0] < other.arrival_ns[-1]:
        hold(mix(trace, other, 0.5))


def test_who_waits_for_one_that_is_left_out_waits_for_the_one_before_it():
    turns = Turns(*(np.array(c) for c in ([0] * 5, [-1, 0, 1, 2, 3], [-1, 10, 20, 30, 40])))
    left = turns.at(np.array([0, 3, 4]))
    assert (left.after_id.tolist(), left.think_ns.tolist()) == ([-1, 0, 1], [-1, 30, 40])
    headless = turns.at(np.array([2, 4]))
    assert (headless.after_id.tolist(), headless.think_ns.tolist()) == ([-1, 0], [-1, 40])
    behind_an_open_one = Turns(*(np.array(c) for c in ([0] * 3, [-1, 0, 1], [-1, -1, 20])))
    left = behind_an_open_one.at(np.array([0, 2]))
    assert (left.after_id.tolist(), left.think_ns.tolist()) == ([-1, 0], [-1, -1])


@given(trace=conversations(), users=st.integers(1, 5), seed=st.integers(0, 9))
def test_users_begin_a_loop_when_the_one_before_has_ended(trace, users, seed):
    made = with_arrivals(trace, f"users:{users}:2.5", seed)
    hold(made)
    assert not made.arrival_ns.any()
    loops = len(starts_ns(trace))
    assert int((~made.turns.waits).sum()) == min(users, loops)
    joints = sorted(set(links(made)) - set(links(trace)))
    assert len([1 for link in links(made)]) == len(links(trace)) + max(loops - users, 0)
    assert all(think == 2.5 * S for _, _, think in joints)
    per_user = np.bincount(made.turns.first_of_loop(), minlength=1)
    assert per_user.sum() == len(trace)


def test_users_have_as_many_loops_each_and_another_seed_deals_others():
    trace = Trace.of_rows([(i, i + 1, 1) for i in range(10)], max_new_tokens=1)
    made = with_arrivals(trace, "users:3", 1)
    sizes = np.bincount(made.turns.first_of_loop())
    assert sorted(sizes[sizes > 0]) == [3, 3, 4]
    assert with_arrivals(trace, "users:3", 1).content_hash == made.content_hash
    assert with_arrivals(trace, "users:3", 2).content_hash != made.content_hash


@pytest.mark.parametrize(
    "spec", ["users", "users:", "users:two", "users:1:2:3", "users:0", "users:2:-1", "users:2:nan"]
)
def test_what_is_no_number_of_users_is_refused(spec):
    with pytest.raises(InvalidScenario, match=r"expected (users:N\[:PAUSE_S\]|at least 1)"):
        with_arrivals(Trace.of_rows([(0, 1, 1)], max_new_tokens=1), spec, 0)


def test_only_who_waits_changes_what_a_trace_is_called():
    pair = Trace.of_rows([(0, 3, 4), (0, 5, 6)], max_new_tokens=9)
    names = set()
    for think in (-1, 0, 5):
        turns = Turns(*(np.array(c) for c in ([0, 0], [-1, 0], [-1, think])))
        names.add(
            Trace(
                pair.name, pair.arrival_ns, pair.prompt_tokens, pair.output_tokens, 9, True, pair.source, turns
            ).content_hash
        )
    assert len(names) == 3
    assert pair.content_hash in names


@given(trace=conversations())
def test_loops_that_begin_as_they_did_are_as_they_were(trace):
    made = begun_at(trace, starts_ns(trace))
    assert links(made) == links(trace)
    assert made.arrival_ns.tolist() == trace.arrival_ns.tolist()


def test_pauses_that_no_run_can_hold_are_refused():
    trace = Trace.of_rows([(0, 1, 1)] * 9400, max_new_tokens=1)
    with pytest.raises(InvalidScenario, match="9,400 requests of 1 users with pauses of 1e\\+06 s take "):
        with_arrivals(trace, "users:1:1e6", 0)


@given(rows=st.lists(st.integers(0, 5), min_size=1, max_size=20).map(sorted), order=st.booleans())
def test_times_in_order_keep_the_requests_in_theirs(rows, order):
    trace = Trace.of_rows([(i, i + 1, 1) for i in range(len(rows))], max_new_tokens=1)
    made = begun_at(trace, np.array(rows, dtype=np.int64), np.arange(len(rows)) if order else None)
    assert made.arrival_ns.tolist() == rows
    assert made.prompt_tokens.tolist() == trace.prompt_tokens.tolist()
