"""What happens when there is more to do than memory allows: the order of degradation, shrinking memory, overload."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.experiments import experiment

from warpgroup.cli.experiments import experiment_from
from warpgroup.cli.options import Options
from warpgroup.csrc import EVENTS, parse_policy, policy_catalogue
from warpgroup.errors import InvalidTrace
from warpgroup.records import Run
from warpgroup.sim import simulate
from warpgroup.workloads import Trace

MS = 1_000_000
AWARE = [info.id for info in policy_catalogue() if parse_policy(info.id).build().sees_memory]


def crowd(seed: int, count: int = 300, gap_ns: int = 4 * MS) -> list[tuple[int, int, int]]:
    rng = np.random.default_rng(seed)
    arrival = np.cumsum(rng.integers(0, 2 * gap_ns, count))
    return [(int(t), int(rng.integers(1, 200)), int(rng.integers(1, 90))) for t in arrival]


def happened(run: Run) -> set[str]:
    return {EVENTS[code] for code in run.events["event"]}


def test_every_degradation_happens_and_is_recorded():
    """Under-estimated activations, then memory that another program takes, under more traffic than can be served."""
    made = experiment(crowd(1), kv_blocks=60, max_seqs=32, max_wait_s=0.15)
    budget = made.memory.budget_bytes
    block = made.memory.block_bytes
    squeeze = [(20 * MS * i, budget - (45 * block if i % 2 else 0)) for i in range(1, 40)]
    run = simulate(made, "skyline", pressure=squeeze)
    assert {"admit-less", "smaller-chunks", "swap-out", "swap-in", "back-pressure", "reject"} <= happened(run)
    assert run.info.summary["ooms"] > 0
    assert run.info.summary["finished"] > 0
    assert "would wait" in str(run.requests["reason"][run.requests["status"] == 1][0])


def test_a_lost_cache_is_computed_again_where_the_host_link_is_slow():
    made = experiment(crowd(2), kv_blocks=40, max_seqs=32)
    budget, block = made.memory.budget_bytes, made.memory.block_bytes
    run = simulate(made, "skyline(swap_gib=0)", pressure=[(30 * MS, budget - 25 * block)], pressure_announced=True)
    assert "preempt" in happened(run)
    assert "swap-out" not in happened(run)
    assert run.requests["recomputed_tokens"].sum() > 0


@pytest.mark.parametrize("policy", AWARE)
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 38), min_size=1, max_size=5))
@settings(max_examples=15, deadline=None)
def test_memory_that_shrinks_with_notice_is_never_exceeded_and_nobody_is_lost(policy, seed, cuts):
    made = experiment(crowd(seed, count=80), kv_blocks=40, max_seqs=32)
    budget, block = made.memory.budget_bytes, made.memory.block_bytes
    changes = [(20 * MS * (i + 1), budget - cut * block) for i, cut in enumerate(cuts)]
    run = simulate(made, policy, pressure=changes, pressure_announced=True)
    assert (run.steps["vram_used_bytes"] <= run.steps["vram_budget_bytes"]).all()
    assert run.info.summary["ooms"] == 0
    assert run.info.summary["aborted"] == 0


@pytest.mark.parametrize("policy", AWARE)
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 38), min_size=1, max_size=5))
@settings(max_examples=15, deadline=None)
def test_memory_that_shrinks_without_notice_ends_nobodys_run(policy, seed, cuts):
    """Steps run out of memory, and every request still finishes or fails."""
    made = experiment(crowd(seed, count=60), kv_blocks=40, max_seqs=32)
    budget, block = made.memory.budget_bytes, made.memory.block_bytes
    changes = [(20 * MS * (i + 1), budget - cut * block) for i, cut in enumerate(cuts)]
    run = simulate(made, policy, pressure=changes)
    summary = run.info.summary
    assert summary["finished"] + summary["failed"] + summary["rejected"] == 60


def test_an_eager_skyline_fills_memory_and_swaps_instead_of_computing_again():
    made = experiment(crowd(3, count=100), kv_blocks=60)
    careful, eager = (simulate(made, policy) for policy in ("skyline", "skyline(eager=1)"))
    assert eager.info.summary["mean_kv_use"] > careful.info.summary["mean_kv_use"]
    assert eager.info.summary["preemptions"] > careful.info.summary["preemptions"]
    assert eager.info.summary["recompute_tax"] == 0
    assert "swap-out" in happened(eager)


def test_pressure_acts_at_its_time():
    made = experiment(crowd(3, count=100), kv_blocks=60)
    budget = made.memory.budget_bytes
    run = simulate(made, "paged", pressure=[(100 * MS, budget - 1000)], pressure_announced=True)
    s = run.steps
    assert (s["vram_budget_bytes"][s["start_ns"] < 100 * MS] == budget).all()
    assert (s["vram_budget_bytes"][s["start_ns"] >= 100 * MS] == budget - 1000).all()


def test_overload_keeps_nine_tenths_of_the_goodput_at_capacity():
    """Capacity: as many requests as it finishes in a second while the queue never empties."""
    overload, _ = experiment_from(Options(scenario="overload-24"))
    run = simulate(overload, "skyline")
    summary = run.info.summary
    capacity = summary["finished"] / summary["makespan_s"]
    at_ease = simulate(experiment_from(Options(scenario="chat-24"))[0], "skyline").info.summary
    assert summary["goodput_req_s"] >= 0.9 * capacity
    assert summary["goodput_req_s"] >= 0.9 * at_ease["goodput_req_s"]
    assert summary["ooms"] == 0
    assert {"back-pressure", "reject"} <= happened(run)


def test_a_trace_of_rows_names_the_row_that_is_wrong():
    with pytest.raises(InvalidTrace, match=r"row 1: \[5, 0, 3\]"):
        Trace.of_rows([(0, 1, 1), (5, 0, 3)], max_new_tokens=10)
    with pytest.raises(InvalidTrace, match="no rows"):
        Trace.of_rows([], max_new_tokens=10)


def test_a_plain_function_is_a_step_time():
    trace = Trace.of_rows([(0, 10, 4)], max_new_tokens=8)
    run = simulate(trace, "paged", step_time=lambda work: 7 * MS)
    assert run.requests["finish_ns"][0] == 4 * 7 * MS
