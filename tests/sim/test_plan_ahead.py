"""Planning ahead: each step is planned when the one before it begins."""

import numpy as np
import pytest
from support.experiments import experiment

from warpgroup.sim import simulate

MS = 10**6
STEP = 10 * MS


def constant(work) -> int:
    return STEP


def first_tokens(rows, *, plan_ahead: bool) -> list[int]:
    run = simulate(experiment(rows), "paged", step_time=constant, plan_ahead=plan_ahead)
    return [int(each) // MS for each in run.requests["first_token_ns"]]


def test_who_comes_during_a_step_is_in_the_one_after_the_next():
    rows = [(0, 10, 20), (3 * MS, 10, 20)]
    assert first_tokens(rows, plan_ahead=False) == [10, 20]
    assert first_tokens(rows, plan_ahead=True) == [10, 30]


def test_nobody_waits_where_nothing_runs():
    rows = [(7 * MS, 10, 1), (100 * MS, 10, 1)]
    assert first_tokens(rows, plan_ahead=True) == first_tokens(rows, plan_ahead=False) == [17, 110]


def test_who_comes_during_the_last_step_is_served_right_after_it():
    assert first_tokens([(0, 10, 1), (4 * MS, 10, 1)], plan_ahead=True) == [10, 20]


def by_context(work) -> int:
    return MS + 1000 * work.context_tokens + 20_000 * work.prefill_tokens


@pytest.mark.parametrize("announced", [None, True, False])
@pytest.mark.parametrize("step_time", [constant, by_context])
@pytest.mark.parametrize("policy", ["paged", "skyline", "ffd", "count-static(n=4,timeout_s=0.02)", "no-evict"])
def test_macro_steps_are_single_steps_ahead_of_time_too(policy, step_time, announced):
    rng = np.random.default_rng(5)
    times = np.sort(rng.integers(0, 3000, 40)) * MS
    rows = [(int(t), int(rng.integers(1, 200)), int(rng.integers(1, 90))) for t in times]
    made = experiment(rows, kv_blocks=60)
    fewer = made.memory.budget_bytes - 25 * made.memory.block_bytes
    pressure = [] if announced is None else [(700 * MS, fewer), (1900 * MS, made.memory.budget_bytes)]
    runs = [
        simulate(
            made, policy, step_time=step_time, plan_ahead=True, macro_steps=macro, pressure=pressure,
            pressure_announced=bool(announced),
        )
        for macro in (True, False)
    ]  # fmt: skip
    for name in ("first_token_ns", "finish_ns", "status", "preemptions"):
        assert runs[0].requests[name].tolist() == runs[1].requests[name].tolist()
    assert runs[0].info.plan_hash == runs[1].info.plan_hash
    admitted = runs[0].requests["admitted_ns"]
    assert (admitted[admitted >= 0] >= runs[0].requests["arrival_ns"][admitted >= 0]).all()


@pytest.mark.parametrize("policy", ["paged", "count-continuous(n=4)", "no-evict", "count-static(n=4,timeout_s=0.02)"])
def test_where_a_cache_outgrows_what_others_left_macro_steps_find_out_as_single_ones_do(policy):
    made = experiment([(0, 38 + 5 * i, 90) for i in range(4)], kv_blocks=60)
    most = int(simulate(made, policy, step_time=constant, macro_steps=False).steps["predicted_bytes"][5:].max())
    for half_blocks in range(1, 24, 2):
        left = most - half_blocks * made.memory.block_bytes // 2
        pressure = [(15 * MS, left), (1200 * MS, made.memory.budget_bytes)]
        runs = [
            simulate(made, policy, step_time=constant, macro_steps=macro, pressure=pressure) for macro in (True, False)
        ]
        assert runs[0].info.summary["ooms"] == runs[1].info.summary["ooms"]
        assert runs[0].requests["finish_ns"].tolist() == runs[1].requests["finish_ns"].tolist()
