"""Which lengths and times a request may have, so that no sum of them overflows."""

import pytest
from support.driving import memory

from warpgroup.csrc import MemoryModel, ModelGeometry, Scheduler, parse_policy, policy_catalogue

MOST_TOKENS = 2**40
LATEST_NS = 2**62
ORDINARY = {"arrival_ns": 0, "prompt_tokens": 10, "max_new_tokens": 10, "output_tokens": 10}
LARGE = ModelGeometry(
    layers=80, hidden=8192, query_heads=64, kv_heads=8, head_dim=128, intermediate=28_672, vocab=128_256
)


def scheduler(policy: str) -> Scheduler:
    return Scheduler(parse_policy(policy).build(), memory(100), max_seqs=64, step_tokens=256)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("prompt_tokens", MOST_TOKENS + 1, f"request 7: prompt_tokens is {MOST_TOKENS + 1}, expected at most"),
        ("max_new_tokens", 2**63 - 1, f"request 7: max_new_tokens is {2**63 - 1}, expected at most {MOST_TOKENS}"),
        ("output_tokens", MOST_TOKENS + 1, f"request 7: output_tokens is {MOST_TOKENS + 1}, expected at most"),
        ("arrival_ns", LATEST_NS + 1, f"request 7: arrival_ns is {LATEST_NS + 1}, expected at most {LATEST_NS}"),
    ],
)
def test_a_value_whose_sums_could_overflow_is_refused(field, value, message):
    target = scheduler("oracle")
    with pytest.raises(ValueError, match=message):
        target.submit(7, **ORDINARY | {field: value})
    assert target.waiting == 0


@pytest.mark.parametrize("policy", [info.id for info in policy_catalogue()])
def test_requests_of_the_largest_output_are_planned_like_any_other(policy):
    target = scheduler(policy)
    for request in range(3):
        target.submit(request, **ORDINARY | {"max_new_tokens": MOST_TOKENS, "output_tokens": MOST_TOKENS})
    target.plan(10**10)
    assert 0 <= target.reserved_blocks <= 100
    target.commit(1, [])
    plan = target.plan(2 * 10**10)
    assert 1 <= plan.horizon < MOST_TOKENS
    assert plan.predicted_bytes <= target.memory.budget_bytes


def test_a_static_batch_of_the_largest_output_holds_until_memory_runs_out():
    pool = MemoryModel.for_blocks(LARGE, blocks=1_000, context_bytes=0, block_tokens=16, step_tokens=4_096, max_seqs=64)
    target = Scheduler(parse_policy("count-static(n=64)").build(), pool, max_seqs=64, step_tokens=4_096)
    for request in range(64):
        assert target.submit(request, **ORDINARY | {"max_new_tokens": MOST_TOKENS})
    target.plan(0)
    target.commit(1, [])
    plan = target.plan(1)
    assert plan.horizon > 1
    assert target.commit(plan.horizon, []).predicted_bytes <= pool.budget_bytes
    assert target.plan(2).predicted_bytes > pool.budget_bytes
