"""A request that waits for another comes so long after that one has ended, whatever came of it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.conversations import check_arrivals, conversations
from support.experiments import experiment

from warpgroup.cli.experiments import experiment_from, with_speed
from warpgroup.cli.options import Options
from warpgroup.errors import InvalidScenario
from warpgroup.records import read_run, write_run
from warpgroup.records.outcome import restore
from warpgroup.sim import AnalyticStepTime, follow, simulate
from warpgroup.sim.sweep.trials import SweepSetting
from warpgroup.workloads import Trace, Turns, reshuffled, with_arrivals

MS = 10**6
POLICIES = ["paged", "skyline", "ffd", "count-static(n=4,timeout_s=0.02)", "no-evict", "past-future"]


def constant(work) -> int:
    return 10 * MS


def by_work(work) -> int:
    return MS + 1000 * work.context_tokens + 20_000 * work.prefill_tokens


def chain(*requests: tuple[int, int, int]) -> Trace:
    """(Prompt, output, think time in ns) of each; every one waits for the one before it."""
    count = len(requests)
    rows = Trace.of_rows([(0, prompt, output) for prompt, output, _ in requests], max_new_tokens=5000)
    before, think = np.arange(count) - 1, np.array([-1, *(request[2] for request in requests[1:])])
    return replace(rows, turns=Turns(np.zeros(count, dtype=np.int64), before, think))


@settings(max_examples=60)
@given(
    trace=conversations(longest=60),
    policy=st.sampled_from(POLICIES),
    step_time=st.sampled_from([constant, by_work]),
    plan_ahead=st.booleans(),
    blocks=st.integers(3, 30),
)
def test_arrivals_follow_ends_and_macro_steps_are_single_steps(trace, policy, step_time, plan_ahead, blocks):
    made = experiment(trace, kv_blocks=blocks, max_seqs=16)
    runs = [
        simulate(made, policy, step_time=step_time, plan_ahead=plan_ahead, macro_steps=macro) for macro in (True, False)
    ]
    check_arrivals(runs[0], trace)
    assert runs[0].info.plan_hash == runs[1].info.plan_hash
    for name in ("arrival_ns", "finish_ns", "ticket", "status"):
        assert runs[0].requests[name].tolist() == runs[1].requests[name].tolist()


def test_a_turn_waits_for_the_answer_and_its_pause():
    run = simulate(experiment(chain((10, 3, 0), (10, 2, 0), (10, 1, 25 * MS))), "paged", step_time=constant)
    assert run.requests["arrival_ns"].tolist() == [0, 30 * MS, 75 * MS]
    assert run.requests["finish_ns"].tolist() == [30 * MS, 50 * MS, 85 * MS]


def test_a_conversation_goes_on_after_a_turn_that_was_rejected_or_failed():
    rejected = simulate(experiment(chain((10, 3, 0), (3000, 2, 0), (10, 1, 5 * MS)), kv_blocks=20), "paged")
    assert [*rejected.requests["status"]] == [0, 1, 0]
    check_arrivals(rejected, chain((10, 3, 0), (3000, 2, 0), (10, 1, 5 * MS)))
    grows = chain((10, 4000, 0), (10, 1, 5 * MS))
    failed = simulate(experiment(grows, kv_blocks=20), "paged", step_time=constant)
    assert [*failed.requests["status"]] == [2, 0]
    check_arrivals(failed, grows)


@given(users=st.integers(1, 6), seed=st.integers(0, 5), pause_s=st.sampled_from([0.0, 0.013]))
def test_users_never_have_more_requests_than_there_are_of_them(users, seed, pause_s):
    rng = np.random.default_rng(seed)
    rows = [(0, int(rng.integers(1, 90)), int(rng.integers(1, 30))) for _ in range(25)]
    trace = with_arrivals(Trace.of_rows(rows, max_new_tokens=100), f"users:{users}:{pause_s}", seed)
    run = simulate(experiment(trace), "paged", step_time=by_work)
    came, ends = run.requests["arrival_ns"], run.requests["finish_ns"]
    at_once = [int(((came <= at) & (ends > at)).sum()) for at in came]
    assert max(at_once) <= users
    assert pause_s > 0 or users > 25 or at_once[:-users].count(users) > 0


def test_a_run_is_recorded_with_who_waits_for_whom_and_can_be_made_again(tmp_path):
    trace = with_arrivals(Trace.of_rows([(i, 20 + i, 5) for i in range(30)], max_new_tokens=50), "users:3:0.05", 1)
    run = simulate(experiment(trace), "skyline", step_time=by_work)
    write_run(tmp_path / "run", run)
    again, policy = restore(read_run(tmp_path / "run"))
    assert again.trace.content_hash == trace.content_hash
    assert again.trace.arrival_ns.tolist() == trace.arrival_ns.tolist()
    repeated = simulate(again, policy, step_time=by_work)
    assert repeated.info.plan_hash == run.info.plan_hash
    assert repeated.requests["arrival_ns"].tolist() == run.requests["arrival_ns"].tolist()


def test_its_plans_are_made_again_from_the_record_alone():
    trace = with_arrivals(Trace.of_rows([(i, 20 + i, 5) for i in range(30)], max_new_tokens=50), "users:3:0.05", 1)
    run = simulate(experiment(trace), "paged", step_time=by_work, macro_steps=False)
    parity = follow(run)
    assert parity.difference is None
    assert parity.run.requests["finish_ns"].tolist() == run.requests["finish_ns"].tolist()


def test_a_run_without_closed_loops_is_recorded_as_ever():
    run = simulate(experiment([(0, 10, 2)]), "paged")
    assert not {"ticket", "session", "after_id", "think_ns"} & {*run.requests}


@pytest.mark.parametrize("seed", [1, 2])
def test_conversations_that_are_reshuffled_stay_whole(seed):
    trace = chain((10, 3, 0), (11, 2, 0), (12, 1, 5 * MS))
    later = replace(trace, arrival_ns=trace.arrival_ns + 7)
    both = Turns.joined([trace.turns, later.turns])
    pair = Trace.of_rows([(0, 10, 3), (0, 11, 2), (0, 12, 1), (7, 20, 3), (7, 21, 2), (7, 22, 1)], max_new_tokens=9)
    run = simulate(experiment(reshuffled(replace(pair, turns=both), seed)), "paged", step_time=constant)
    order = np.argsort(run.requests["arrival_ns"], kind="stable")
    assert [run.requests["prompt_tokens"][i] % 10 for i in order] == [0, 0, 1, 1, 2, 2]


def test_users_have_no_rate_and_the_first_requests_are_cut_before_they_are_theirs():
    options = Options(scenario="mixed-24", arrivals="users:8")
    few, _ = experiment_from(options, first=20)
    assert int((~few.trace.turns.waits).sum()) == 8
    slowed = Options(scenario="chat-24", arrivals="users:8")  # whose own arrivals are scaled
    assert experiment_from(with_speed(slowed, 1.0), first=20)[0].rate_scale == 1.0
    with pytest.raises(InvalidScenario, match="does not apply to --arrivals users"):
        experiment_from(with_speed(slowed, 2.0), first=20)
    with pytest.raises(InvalidScenario, match="--rate-scale does not apply to --arrivals users:8"):
        experiment_from(replace(options, rate_scale=4.0))


def test_a_sweep_asks_for_requests_a_second_of_conversations_too():
    turns = Turns.joined([chain(*[(10, 2, 0)] * 4).turns] * 50)
    made = experiment(replace(Trace.of_rows([(0, 10, 2)] * 200, max_new_tokens=9), turns=turns))
    stream = SweepSetting({0: made}, AnalyticStepTime(made.memory.geometry, made.device)).experiment(20.0, 0)
    assert stream.arrivals == "poisson:5"
    assert 200 / (stream.trace.arrival_ns[-1] / 1e9) == pytest.approx(20, rel=0.5)
    check_arrivals(simulate(stream, "paged", step_time=constant), stream.trace)


def test_a_plan_in_which_the_last_one_fails_is_no_other_when_it_is_made_with_the_next():
    """It has no step, and so stands in no record."""
    grows, later = (100, 400, 0), (149, 3, 4 * MS)
    trace = chain(grows, later)
    run = simulate(experiment(trace, kv_blocks=30), "skyline", step_time=constant, macro_steps=False)
    assert run.info.summary["failed"] == 1
    assert follow(run).difference is None
