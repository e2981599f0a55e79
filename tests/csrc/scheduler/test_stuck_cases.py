"""Where serving engines have hung: each must end here, under every policy that sees memory."""

import pytest
from support.driving import Row, drive, memory

from warpgroup.csrc import parse_policy, policy_catalogue

AWARE = [info.id for info in policy_catalogue() if parse_policy(info.id).build().sees_memory]
every_aware_policy = pytest.mark.parametrize("policy", AWARE)


@every_aware_policy
def test_a_request_beyond_the_pool_but_within_the_context_does_not_block_the_queue(policy):
    """vLLM 39734: it waits at the head of the queue for ever. Here it is rejected on arrival, with its numbers."""
    rows = [Row(0, 700, 5), *(Row(i, 50, 5) for i in range(10))]
    outcome = drive(policy, rows, memory(40), max_new=10)
    assert "needs 44 KV blocks, the pool has 40" in outcome.rejected[0]
    assert set(outcome.finished) == set(range(1, 11))


@every_aware_policy
def test_prompts_as_large_as_the_pool_are_not_admitted_by_their_first_chunk(policy):
    """vLLM 37307: many huge prompts hold a chunk each, none can go on, and all are evicted in turn."""
    rows = [Row(0, 600, 4) for _ in range(6)]
    outcome = drive(policy, rows, memory(40), max_new=8, step_tokens=128)
    assert set(outcome.finished) == set(range(6))
    assert outcome.recomputed <= 600
    assert outcome.running_max <= 2


@every_aware_policy
def test_two_requests_do_not_evict_each_other_for_ever(policy):
    """vLLM 52530 and inference-sim 963: together they outgrow the pool at every attempt."""
    outcome = drive(policy, [Row(0, 300, 80), Row(0, 300, 80)], memory(42), max_new=80)
    assert set(outcome.finished) == {0, 1}
    assert outcome.preemptions <= 4


@every_aware_policy
def test_a_request_that_outgrows_the_pool_alone_fails_and_frees_everything(policy):
    outcome = drive(policy, [Row(0, 150, 60), Row(1, 20, 3)], memory(10), max_new=90)
    assert outcome.failed == {0}
    assert set(outcome.finished) == {1}
