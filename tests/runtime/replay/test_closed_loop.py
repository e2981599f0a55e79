"""Closed loops on an engine: the next request comes after the answer, and the simulator repeats the plans."""

import time
from dataclasses import replace

import numpy as np
import pytest
from support.conversations import check_arrivals
from support.replays import replay

from warpgroup.runtime.replay.arrivals import Arrivals
from warpgroup.sim import follow
from warpgroup.workloads import Trace, Turns, with_arrivals

RNG = np.random.default_rng(4)
MS = 10**6
ROWS = [(0, int(RNG.integers(5, 100)), int(RNG.integers(1, 20))) for _ in range(20)]


@pytest.mark.parametrize("plan_ahead", [0, 1])
@pytest.mark.parametrize("policy", ["paged", "skyline", "count-static(n=3,timeout_s=0.01)"])
def test_users_wait_for_their_answers(policy, plan_ahead):
    from warpgroup.runtime import ReplayOptions

    trace = with_arrivals(Trace.of_rows(ROWS, max_new_tokens=50), "users:4:0.004", 1)
    run = replay(trace, policy, kv_blocks=40, step_tokens=160, options=ReplayOptions(plan_ahead=plan_ahead)).run
    check_arrivals(run, trace)
    assert run.info.summary["finished"] == len(ROWS)
    came, ends = run.requests["arrival_ns"], run.requests["finish_ns"]
    assert max(int(((came <= at) & (ends > at)).sum()) for at in came) <= 4
    assert follow(run).difference is None


def test_a_conversation_continues_after_a_turn_is_rejected():
    rows = [(0, 100, 3), (0, 2000, 5), (0, 20, 2), (0, 30, 2)]
    turns = Turns(*(np.array(each) for each in ([0] * 4, [-1, 0, 1, 2], [-1, 0, 3 * MS, 0])))
    trace = replace(Trace.of_rows(rows, max_new_tokens=50), turns=turns)
    run = replay(trace, "paged", kv_blocks=40, step_tokens=256).run
    assert (run.info.summary["rejected"], run.info.summary["finished"]) == (1, 3)
    check_arrivals(run, trace)
    assert follow(run).difference is None


def test_a_queue_too_small_for_all_first_requests_loses_none(monkeypatch):
    monkeypatch.setattr("warpgroup.runtime.replay.arrivals._REQUESTS", 4)
    trace = with_arrivals(Trace.of_rows(ROWS, max_new_tokens=50), "users:9", 2)
    run = replay(trace, "paged", kv_blocks=40, step_tokens=160).run
    check_arrivals(run, trace)
    assert run.info.summary["finished"] == len(ROWS)


@pytest.mark.parametrize("arrivals", ["trace", "users:12"])
def test_no_request_overtakes_one_that_is_about_to_be_submitted(monkeypatch, arrivals):
    """The submitting thread sleeps between taking and submitting a request, while others end and become due."""
    slept = []

    def drowsy(self):
        due = next_due(self)
        if not slept:
            slept.append(due)
            time.sleep(0.2)
        return due

    next_due = Arrivals._next_due
    monkeypatch.setattr(Arrivals, "_next_due", drowsy)
    rows = [(0, 20, 3)] * 3 + [(MS, 30 + (i * 7) % 40, 3) for i in range(30)]
    trace = with_arrivals(Trace.of_rows(rows, max_new_tokens=10), arrivals, 0)
    run = replay(trace, "paged", max_seqs=8).run
    assert follow(run).difference is None
    assert slept
    if arrivals == "trace":
        assert np.argsort(run.requests["admitted_ns"], kind="stable").tolist() == list(range(33))
