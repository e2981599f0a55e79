"""The best safe count, and the control that keeps everybody honest."""

import pytest
from support.experiments import experiment

from warpgroup.csrc import parse_policy
from warpgroup.experiment import Limits, build_experiment
from warpgroup.sim import best_safe_count, simulate
from warpgroup.sim.compare import plan_tasks
from warpgroup.workloads import generate_trace, load_device, load_model, load_scenario, with_arrivals

MS = 1_000_000


def ooms(made, policy: str, n: int) -> int:
    return simulate(made, parse_policy(policy).with_count(n)).info.summary["ooms"]


@pytest.mark.parametrize("policy", ["count-static", "count-continuous"])
def test_the_best_count_is_safe_and_the_next_beyond_the_largest_is_not(policy):
    made = experiment([(i * MS, 150, 60) for i in range(40)], kv_blocks=60)
    found = best_safe_count(made, parse_policy(policy))
    assert not found.unbounded
    assert ooms(made, policy, found.n) == 0
    assert ooms(made, policy, found.largest_safe) == 0
    assert ooms(made, policy, found.largest_safe + 1) > 0


def test_no_other_safe_count_has_more_goodput():
    made = experiment([(i * MS, 100 + i % 90, 20 + i % 60) for i in range(60)], kv_blocks=80)
    found = best_safe_count(made, parse_policy("count-continuous"))
    best = simulate(made, parse_policy("count-continuous").with_count(found.n)).info.summary
    for n in range(1, found.largest_safe + 1):
        other = simulate(made, parse_policy("count-continuous").with_count(n)).info.summary
        assert other["goodput_req_s"] <= 1.02 * best["goodput_req_s"]


def test_with_ample_memory_the_search_ends_where_counts_stop_mattering():
    made = experiment([(i * 500 * MS, 50, 5) for i in range(40)], kv_blocks=4000)
    found = best_safe_count(made, parse_policy("count-continuous"))
    assert found.unbounded
    assert "no count is too large here" in str(found)


def test_where_even_one_request_is_too_much_the_note_says_so():
    made = experiment([(0, 300, 3000)], kv_blocks=20, max_new_tokens=4000)
    found = best_safe_count(made, parse_policy("count-continuous"))
    assert (found.n, found.largest_safe) == (1, 0)
    assert "even one request at a time runs out of memory" in str(found)


def test_a_count_policy_without_a_count_is_run_with_its_best_and_with_32():
    tasks = plan_tasks([parse_policy("paged"), parse_policy("count-static"), parse_policy("count-static(n=4)")])
    assert [(task.folder, task.search) for task in tasks] == [
        ("count-static", True),
        ("paged", False),
        ("count-static-n32", False),
        ("count-static-n4", False),
    ]


def test_the_control_scenario_lets_no_continuous_policy_win():
    """control-141 as it ships: a claimed win of one continuous policy over another is a bug."""
    scenario = load_scenario("control-141")
    trace = generate_trace(scenario.workload, requests=4_000, seed=0, max_new_tokens=scenario.max_new_tokens)
    made = build_experiment(
        with_arrivals(trace, scenario.arrivals, 0),
        load_model(scenario.model),
        load_device(scenario.device),
        limits=Limits(kv_budget_tokens=scenario.kv_budget_tokens),
    )
    policies = ("count-continuous(n=1024)", "paged", "ffd")
    runs = [simulate(made, parse_policy(policy)).info.summary for policy in policies]
    assert max(run["running_max"] for run in runs) < 1024
    for figures in ([run["total_tok_s"] for run in runs], [run["e2e_s"]["mean"] for run in runs]):
        assert max(figures) <= 1.02 * min(figures)
    static = simulate(made, parse_policy("count-static(n=64)")).info.summary
    assert static["padding_waste"] > 0.3
    assert static["e2e_s"]["mean"] > runs[0]["e2e_s"]["mean"]
