"""What a commit may report, and that a refused one changes nothing."""

import pytest
from support.driving import SECOND, memory

from warpgroup.csrc import Scheduler, parse_policy

POLICIES = ("count-static(n=3)", "paged", "ffd")
every_batcher = pytest.mark.parametrize("policy", POLICIES)


def with_three_requests(policy: str) -> Scheduler:
    target = Scheduler(parse_policy(policy).build(), memory(100), max_seqs=64, step_tokens=64)
    for request in range(3):
        assert target.submit(request, arrival_ns=0, prompt_tokens=10, max_new_tokens=100)
    return target


@every_batcher
@pytest.mark.parametrize(
    ("finished", "message"),
    [
        ([0, 99], "request 99 made no token in this step"),
        ([0, 1, 0], "request 0 is named twice among the finished requests"),
    ],
)
def test_a_commit_that_names_a_wrong_request_changes_nothing(policy, finished, message):
    target = with_three_requests(policy)
    other = with_three_requests(policy)
    for each in (target, other):
        each.plan(0)
        each.abort(2)
    with pytest.raises(ValueError, match=message):
        target.commit(1, finished)
    assert (target.running, target.used_blocks, target.plan_hash) == (other.running, other.used_blocks, other.plan_hash)
    target.commit(1, [0])  # the plan still waits for its commit, and request 0 for its end
    other.commit(1, [0])
    for second in (1, 2):
        assert target.plan(second * SECOND).decode == other.plan(second * SECOND).decode == [1]
        target.commit(1, [])
        other.commit(1, [])
    assert target.plan_hash == other.plan_hash


@every_batcher
def test_a_request_that_ended_cannot_finish_again(policy):
    target = with_three_requests(policy)
    target.plan(0)
    target.commit(1, [0])
    target.plan(SECOND)
    with pytest.raises(ValueError, match="request 0 made no token in this step"):
        target.commit(1, [0])
    target.commit(1, [1])


def test_a_request_whose_prompt_is_not_complete_cannot_finish():
    target = Scheduler(parse_policy("paged").build(), memory(100), max_seqs=64, step_tokens=64)
    assert target.submit(0, arrival_ns=0, prompt_tokens=100, max_new_tokens=5)
    target.plan(0)  # 64 tokens of the prompt
    with pytest.raises(ValueError, match="request 0 made no token in this step"):
        target.commit(1, [0])
    target.commit(1, [])
    target.plan(SECOND)
    target.commit(1, [0])
    assert target.running == 0


def test_a_waiting_request_cannot_finish():
    for policy in ("count-static(n=1)", "count-continuous(n=1)"):
        target = Scheduler(parse_policy(policy).build(), memory(100), max_seqs=64, step_tokens=64)
        for request in range(2):
            assert target.submit(request, arrival_ns=0, prompt_tokens=10, max_new_tokens=100)
        target.plan(0)
        with pytest.raises(ValueError, match="request 1 made no token in this step"):
            target.commit(1, [1])


@every_batcher
def test_a_request_that_is_aborted_in_its_last_step_is_counted_once(policy):
    aborted, plain = with_three_requests(policy), with_three_requests(policy)
    for target in (aborted, plain):
        target.plan(0)
        target.commit(1, [])
        target.plan(SECOND)
        if target is aborted:
            assert target.abort(0)
        target.commit(1, [0])
        target.plan(2 * SECOND)
    assert aborted.commit(1, []).fragmented_bytes == plain.commit(1, []).fragmented_bytes
    assert aborted.used_blocks == plain.used_blocks
