"""How each policy behaves, on workloads small enough to check by hand."""

import json

import pytest
from support.driving import SECOND, Row, drive, memory
from support.paths import SHARED

from warpgroup.csrc import MemoryModel, Scheduler, parse_policy

SETS = SHARED / "sets"


def scheduler(policy: str, pool: MemoryModel, *, max_seqs: int = 64, step_tokens: int = 256) -> Scheduler:
    return Scheduler(parse_policy(policy).build(), pool, max_seqs=max_seqs, step_tokens=step_tokens)


def submit(target: Scheduler, *prompts: int, max_new: int = 100) -> None:
    for request, prompt in enumerate(prompts):
        assert target.submit(request, arrival_ns=0, prompt_tokens=prompt, max_new_tokens=max_new)


def test_count_static_waits_for_more_requests_until_its_timeout():
    target = scheduler("count-static(n=2, timeout_s=5)", memory(100))
    submit(target, 10)
    plan = target.plan(0)
    assert (plan.horizon, plan.wake_ns) == (0, 5 * SECOND)
    assert target.plan(5 * SECOND).admitted == [0]


def test_count_static_pads_every_prompt_to_the_longest():
    target = scheduler("count-static(n=2)", memory(100))
    submit(target, 10, 30)
    work = target.plan(0).work
    assert (work.prefill_tokens, work.padding_tokens) == (60, 20)


def test_count_static_computes_on_rows_that_have_ended():
    target = scheduler("count-static(n=2)", memory(100))
    submit(target, 10, 10)
    target.plan(0)
    target.commit(1, [0])
    work = target.plan(SECOND).work
    assert (work.decode_rows, work.padding_tokens) == (2, 1)


def test_no_request_joins_a_static_batch():
    target = scheduler("count-static(n=2)", memory(100))
    submit(target, 10, 10, 10)
    assert target.plan(0).admitted == [0, 1]
    target.commit(1, [0])
    plan = target.plan(SECOND)
    assert (plan.admitted, plan.blocked_by.name) == ([], "count")


def test_a_static_batch_that_runs_out_of_memory_is_split_in_two():
    target = scheduler("count-static(n=4)", memory(100))
    submit(target, 10, 10, 10, 10)
    target.plan(0)
    target.commit(1, [])
    target.plan(SECOND)
    target.commit_oom()
    plan = target.plan(2 * SECOND)
    assert plan.admitted == [0, 1]
    assert [(e.id, e.lost_tokens, e.lost_generated) for e in reversed(plan.evicted)] == [(i, 10, 1) for i in range(4)]


def test_a_count_that_is_too_large_runs_out_of_memory_and_loses_nothing():
    rows = [Row(0, 100, 50)] * 12
    for policy in ("count-static(n=12)", "count-continuous(n=12)"):
        outcome = drive(policy, rows, memory(30), max_new=50)
        assert outcome.ooms > 0
        assert len(outcome.finished) == 12


def test_a_request_that_runs_out_of_memory_alone_fails_and_the_run_goes_on():
    # 16 blocks hold 256 tokens: the first request outgrows them, the second does not.
    rows = [Row(0, 50, 600), Row(0, 20, 10)]
    for policy in ("count-continuous(n=1)", "paged", "ffd", "count-static(n=1)"):
        outcome = drive(policy, rows, memory(16, max_seqs=1, step_tokens=64), max_new=900, max_seqs=1)
        assert outcome.failed == {0}, policy
        assert set(outcome.finished) == {1}


def test_a_prompt_larger_than_the_pool_is_rejected_with_a_reason():
    submission = scheduler("paged", memory(4)).submit(7, arrival_ns=0, prompt_tokens=65, max_new_tokens=1)
    assert not submission
    assert submission.reason == "prompt of 65 tokens needs 5 KV blocks, the pool has 4"


def test_paged_admits_while_the_prompt_fits_and_holds_the_queue_at_the_first_misfit():
    target = scheduler("paged", memory(10))
    submit(target, 100, 64, 16)  # 7, 4 and 1 blocks: the second does not fit, the third would
    plan = target.plan(0)
    assert (plan.admitted, plan.blocked_by.name) == ([0], "memory")


def test_paged_evicts_the_newest_and_admits_no_request_in_that_step():
    target = scheduler("paged", memory(4))
    submit(target, 32, 32, 16)
    assert target.plan(0).admitted == [0, 1]
    target.commit(1, [])
    plan = target.plan(SECOND)  # the first needs a third block: the second must go, the third must wait
    assert [e.id for e in plan.evicted] == [1]
    assert (plan.admitted, plan.decode) == ([], [0])


def test_an_evicted_request_keeps_its_output_and_is_computed_again():
    outcome = drive("paged", [Row(0, 30, 20), Row(0, 30, 20)], memory(5), max_new=20)
    assert outcome.preemptions == 1
    assert outcome.computed == 2 * 49 + outcome.recomputed


def test_long_prompts_are_prefilled_in_chunks_behind_the_decoding_requests():
    target = scheduler("paged", memory(100), step_tokens=64)
    submit(target, 10, 100)
    target.plan(0)
    target.commit(1, [])
    plan = target.plan(SECOND)
    assert plan.decode == [0]
    assert [(c.id, c.start, c.tokens) for c in plan.prefill] == [(1, 54, 46)]


def test_the_pairs_of_a_prefill_are_counted_and_those_of_a_first_chunk_apart():
    target = scheduler("paged", memory(40), step_tokens=64)
    submit(target, 100, 20)
    first = target.plan(0).work
    assert (first.prefill_tokens, first.prefill_pairs, first.fresh_pairs) == (64, 64 * 65 // 2, 64 * 65 // 2)
    target.commit(1, [])
    second = target.plan(SECOND).work
    assert (second.prefill_tokens, second.fresh_tokens, second.fresh_pairs) == (56, 20, 20 * 21 // 2)
    assert second.prefill_pairs == 36 * 64 + 36 * 37 // 2 + 20 * 21 // 2
    assert second.prefill_context == 100 + 20
    facts = target.commit(1, [])
    assert (facts.fresh_tokens, facts.fresh_pairs) == (second.fresh_tokens, second.fresh_pairs)
    assert (facts.prefill_pairs, facts.prefill_context) == (second.prefill_pairs, second.prefill_context)
    assert (facts.sampled_rows, second.sampled_rows) == (2, 2)


def test_ffd_admits_the_longest_first_and_passes_over_what_does_not_fit():
    target = scheduler("ffd", memory(20), step_tokens=512)
    submit(target, 50, 300, 100, 30, max_new=10)  # peaks of 4, 20, 7 and 3 blocks
    assert target.plan(0).admitted == [1]
    target = scheduler("ffd", memory(19), step_tokens=512)
    submit(target, 50, 290, 100, 30, max_new=10)  # 4, 19, 7, 3
    assert target.plan(0).admitted == [1]
    target.commit(1, [1])
    assert target.plan(SECOND).admitted == [2, 0, 3]


def test_ffd_reserves_the_whole_peak():
    target = scheduler("ffd", memory(20))
    submit(target, 16, 16, max_new=160)  # 16 + 159 tokens: 11 blocks each
    plan = target.plan(0)
    assert (plan.admitted, plan.blocked_by.name) == ([0], "memory")
    assert (target.reserved_blocks, target.used_blocks) == (11, 1)


def test_ffd_learns_from_the_outputs_of_finished_requests():
    target = scheduler("ffd(margin=0)", memory(1000))
    submit(target, *[16] * 64, max_new=160)
    target.plan(0)
    target.commit(1, list(range(14)))  # the token budget let 16 in
    for second in range(1, 20):
        plan = target.plan(second * SECOND)
        ended = [j.id for j in plan.joined]
        if not plan.horizon:
            break
        target.commit(1, ended if ended else plan.decode)
    assert target.submit(99, arrival_ns=0, prompt_tokens=16, max_new_tokens=160)
    target.plan(30 * SECOND)
    assert target.reserved_blocks == 2  # all outputs were of 1 or 2 tokens, not of 160


def test_after_running_out_of_memory_no_request_is_admitted_until_one_finishes():
    target = scheduler("count-continuous(n=3)", memory(100))
    submit(target, 10, 10, 10, 10)
    target.plan(0)
    target.commit_oom()
    plan = target.plan(SECOND)
    assert ([e.id for e in plan.evicted], plan.admitted, plan.blocked_by.name) == ([2], [], "memory")
    target.commit(1, [0])
    assert target.plan(2 * SECOND).admitted == [2, 3]


def test_misuse_is_refused():
    target = scheduler("paged", memory(10))
    submit(target, 10)
    with pytest.raises(RuntimeError, match="without a plan"):
        target.commit(1, [])
    with pytest.raises(ValueError, match="request 0 is here already"):
        submit(target, 10)
    with pytest.raises(ValueError, match="must be at least 1"):
        submit(target, 0)
    target.plan(0)
    with pytest.raises(RuntimeError, match="before the last plan's commit"):
        target.plan(1)
    with pytest.raises(ValueError, match="commit of 2 steps, the plan holds for 1 to 1"):
        target.commit(2, [])
    with pytest.raises(ValueError, match="request 5 made no token"):
        target.commit(1, [5])
    with pytest.raises(ValueError, match="expected at least one for each of 64"):
        scheduler("paged", memory(10), step_tokens=8)


def test_bins_run_one_after_another_and_each_runs_as_a_whole():
    """Six requests of which three fill the pool: two bins, though prefilling a bin takes two steps."""
    rows = [Row(0, 150, 10) for _ in range(6)] + [Row(2, 20, 2)]
    outcome = drive("ffd-static", rows, memory(31), max_new=11, step_tokens=256)
    assert outcome.running_max == 3
    first, second = sorted(outcome.admitted_s.values())[:3], sorted(outcome.admitted_s.values())[3:6]
    assert max(first) <= 1  # the second step of the first bin's prefill
    assert min(second) >= 10  # no request joins before the first bin has ended
    assert outcome.admitted_s[6] > max(second)  # it came after the packing
    assert outcome.preemptions == 0


def test_a_true_length_that_proves_false_does_no_harm():
    """An executor whose model does not stop where it was said to."""
    target = scheduler("oracle", memory(40))
    for request in range(3):
        target.submit(request, arrival_ns=0, prompt_tokens=100, max_new_tokens=40, output_tokens=5)
    for now in range(30):
        plan = target.plan(now)
        target.commit(1, [])
        if now == 15:
            target.submit(9, arrival_ns=0, prompt_tokens=300, max_new_tokens=40, output_tokens=5)
    assert plan.predicted_bytes <= memory(40).budget_bytes
    assert target.running >= 3


@pytest.mark.skipif(not SETS.is_dir(), reason="the shared request sets are not here")
@pytest.mark.parametrize(
    ("name", "blocks", "steps", "tokens", "preemptions", "mean_running", "max_running"),
    [
        ("growth", 2_628, 21_135, 1_222_973, 345, 21.67, 37),
        ("chat", 131_012, 1_090, 1_985_290, 0, 354.05, 1_024),
        ("long", 131_012, 1_008, 1_951_176, 0, 71.95, 175),
    ],
)
def test_paged_takes_the_steps_that_vllm_took(name, blocks, steps, tokens, preemptions, mean_running, max_running):
    """vLLM 0.25 offline, all requests at t = 0, 1,024 sequences, 16,384 tokens a step, blocks of 16, measured."""
    rows = [Row(0, prompt, output) for prompt, output in json.loads((SETS / f"{name}.json").read_text())]
    pool = memory(blocks, step_tokens=16_384, max_seqs=1_024)
    outcome = drive("paged", rows, pool, max_new=4_096, max_seqs=1_024, step_tokens=16_384)
    assert outcome.steps == pytest.approx(steps, rel=0.01)
    assert outcome.computed == pytest.approx(tokens, rel=0.01)
    assert outcome.preemptions == pytest.approx(preemptions, rel=0.01)
    assert outcome.running_steps / outcome.steps == pytest.approx(mean_running, rel=0.01)
    assert outcome.running_max == max_running


def test_a_row_that_ended_in_its_static_batch_cannot_be_aborted_any_more():
    target = scheduler("count-static(n=2)", memory(100))
    submit(target, 10, 10)
    target.plan(0)
    target.commit(1, [0])
    assert not target.abort(0)
    assert target.abort(1)
    assert target.running == 0


def test_a_split_batch_whose_requests_are_all_aborted_leaves_no_mark_on_the_next():
    target = scheduler("count-static(n=4, timeout_s=5)", memory(100))
    submit(target, 10, 10, 10, 10)
    target.plan(0)
    target.commit_oom()  # the next batch is the first half, and it would start at once
    for request in range(4):
        assert target.abort(request)
    assert target.submit(9, arrival_ns=SECOND, prompt_tokens=10, max_new_tokens=100)
    plan = target.plan(SECOND)
    assert (plan.admitted, plan.wake_ns) == ([], 6 * SECOND)
    assert target.plan(6 * SECOND).admitted == [9]
