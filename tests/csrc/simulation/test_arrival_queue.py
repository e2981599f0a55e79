"""The queue of requests to come, against a plain list that is searched from the start each time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.conversations import conversations

from warpgroup.csrc import ArrivalQueue
from warpgroup.experiment import arrival_queue
from warpgroup.workloads import Trace


def coming_of(trace: Trace, ends: dict[int, int]) -> list[tuple[int, int]]:
    """(When, who) of all that are known to come, given who has ended when."""
    known = []
    for row, at_ns in enumerate(trace.arrival_ns.tolist()):
        before, think_ns = int(trace.turns.after_id[row]), int(trace.turns.think_ns[row])
        if think_ns < 0:
            known.append((at_ns, row))
        elif before in ends:
            known.append((ends[before] + think_ns, row))
    return sorted(known)


@given(trace=conversations(), data=st.data())
def test_who_comes_next_is_the_first_of_all_that_are_known_to_come(trace, data):
    queue, ends, gone, now_ns = arrival_queue(trace), {}, [], 0
    while True:
        left = [each for each in coming_of(trace, ends) if each[1] not in gone]
        assert (queue.next_ns, queue.next) == (left[0] if left else (-1, -1))
        assert queue.left == len(trace) - len(gone)
        running = [row for row in gone if row not in ends]
        if running and (not left or data.draw(st.booleans(), label="one ends")):
            row = data.draw(st.sampled_from(running), label="which")
            now_ns += data.draw(st.integers(0, 10**9), label="later by")
            ends[row] = now_ns
            queue.ended(row, now_ns)
        elif left:
            now_ns = max(now_ns, left[0][0])
            gone.append(queue.next)
            queue.pop()
            assert queue.arrival_ns(gone[-1]) == left[0][0]
        else:
            break
    assert queue.left == 0, "all of them come once everybody has ended"


def test_an_end_is_told_once():
    queue = ArrivalQueue(arrival_ns=np.array([0, 0]), after=np.array([-1, 0]), think_ns=np.array([-1, 5]))
    queue.pop()
    queue.ended(0, 7)
    queue.ended(0, 9)
    assert (queue.next, queue.next_ns) == (1, 12)
    queue.pop()
    assert (queue.next, queue.left) == (-1, 0)
    with pytest.raises(RuntimeError, match="no arrival is known"):
        queue.pop()


@pytest.mark.parametrize("before", [-1, 1, 2])
def test_who_waits_for_no_earlier_request_is_refused(before):
    with pytest.raises(ValueError, match=f"request 1 waits for {before}, expected an earlier one"):
        ArrivalQueue(arrival_ns=np.zeros(2), after=np.array([-1, before]), think_ns=np.array([-1, 0]))


def test_columns_of_unlike_lengths_are_refused():
    with pytest.raises(ValueError, match="the columns differ in length"):
        ArrivalQueue(arrival_ns=np.zeros(2), after=np.array([-1]), think_ns=np.array([-1]))
