"""Closed loops on an engine: the next request comes when the answer is there, and the plans can be made again."""

from dataclasses import replace

import numpy as np
import pytest
from support.conversations import check_arrivals
from support.replays import replay

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


def test_whose_turn_is_turned_away_goes_on_with_the_next():
    rows = [(0, 100, 3), (0, 2000, 5), (0, 20, 2), (0, 30, 2)]
    turns = Turns(*(np.array(each) for each in ([0] * 4, [-1, 0, 1, 2], [-1, 0, 3 * MS, 0])))
    trace = replace(Trace.of_rows(rows, max_new_tokens=50), turns=turns)
    run = replay(trace, "paged", kv_blocks=40, step_tokens=256).run
    assert (run.info.summary["rejected"], run.info.summary["finished"]) == (1, 3)
    check_arrivals(run, trace)
    assert follow(run).difference is None


def test_a_queue_too_small_for_all_who_begin_loses_nobody(monkeypatch):
    monkeypatch.setattr("warpgroup.runtime.arrivals._REQUESTS", 4)
    trace = with_arrivals(Trace.of_rows(ROWS, max_new_tokens=50), "users:9", 2)
    run = replay(trace, "paged", kv_blocks=40, step_tokens=160).run
    check_arrivals(run, trace)
    assert run.info.summary["finished"] == len(ROWS)
