"""Replays on the CPU: the same code as on a GPU, except for the kernels."""

import os
import signal

import numpy as np
import pytest
import torch
from support.replays import replay

from warpgroup.csrc import policy_catalogue
from warpgroup.records import read_run, write_run
from warpgroup.runtime import ReplayOptions, replay_all
from warpgroup.runtime.memory.kv_pool import OutOfVram
from warpgroup.runtime.replay import arrivals as arrivals_module
from warpgroup.runtime.step.inputs import Slabs, StepLengths

RNG = np.random.default_rng(0)
ROWS = [(0, int(RNG.integers(1, 150)), int(RNG.integers(1, 40))) for _ in range(16)]
GIB = 1 << 30


@pytest.fixture(scope="module")
def alone() -> list[list[int]]:
    """The tokens of each request when it runs alone with enough memory."""
    return replay(ROWS, "paged", max_seqs=1, kv_blocks=400).tokens


@pytest.mark.parametrize("policy", [info.id for info in policy_catalogue()])
@pytest.mark.parametrize("kv_blocks", [40, 400])
def test_every_policy_gives_every_request_the_tokens_that_it_gets_alone(alone, policy, kv_blocks):
    made = replay(ROWS, policy + ("(n=6)" if policy.startswith("count") else ""), kv_blocks=kv_blocks)
    assert made.run.info.summary["finished"] == len(ROWS)
    assert made.tokens == alone


@pytest.mark.parametrize("plan_ahead", [0, 1])
def test_a_step_may_be_planned_before_or_after_the_one_before_it_ends(alone, plan_ahead):
    made = replay(ROWS, "skyline", options=ReplayOptions(plan_ahead=plan_ahead))
    assert made.tokens == alone
    assert made.run.info.machine.plan_ahead == plan_ahead


@pytest.mark.parametrize("policy", ["paged", "ffd", "skyline(chunk=16)", "count-continuous(n=6)"])
def test_every_step_is_written_into_one_of_two_slabs(monkeypatch, policy):
    places, of_size = set(), Slabs.of_size

    def noted(slabs, size):
        slab = of_size(slabs, size)
        places.add(slab.__array_interface__["data"][0])
        return slab

    monkeypatch.setattr(Slabs, "of_size", noted)
    replay(ROWS, policy, kv_blocks=40)
    assert len(places) == 2


def test_a_batch_that_runs_out_of_memory_is_split_and_loses_no_request(alone):
    made = replay(ROWS, "count-static(n=16)", kv_blocks=40)
    assert made.run.info.summary["ooms"] > 0
    assert made.run.info.summary["finished"] == len(ROWS)
    assert made.run.info.summary["padding_waste"] > 0.1
    assert made.tokens == alone


def test_the_record_says_what_it_ran_on_and_never_more_than_it_may_use():
    run = replay(ROWS, "paged", kv_blocks=20).run
    machine = run.info.machine
    assert (run.info.kind, machine.device, machine.dtype, machine.attention) == (
        "real",
        "CPU",
        "float32",
        "sdpa (torch)",
    )
    assert run.info.scenario.step_time == "tiny in float32 on CPU, attention by sdpa (torch)"
    assert run.info.versions["torch"]
    assert (run.steps["vram_used_bytes"] <= run.steps["vram_budget_bytes"]).all()
    assert machine.measured_peak_bytes == run.steps["vram_used_bytes"].max()
    assert (np.diff(run.steps["start_ns"]) >= 0).all()
    assert (run.steps["plan_ns"] <= run.steps["start_ns"]).all()


def test_drawn_tokens_depend_on_the_seed_and_the_request_alone():
    def drawn(policy: str, **limits: int) -> list[list[int]]:
        return replay(ROWS[:8], policy, temperature=0.8, **limits).tokens

    first = drawn("paged")
    assert first == drawn("paged", kv_blocks=20)
    assert first == drawn("count-static(n=3)")
    assert first != replay(ROWS[:8], "paged").tokens


@pytest.mark.parametrize("policy", ["paged", "skyline", "ffd"])
def test_a_step_that_the_device_has_no_memory_for_is_planned_again_smaller(alone, policy):
    """As on a GPU, where the allocator may refuse a step that was predicted to fit."""
    refused = []

    def refuse_twice(made):
        watch = made.executor.vram_cap.watch

        def watched(step, plan):
            if plan.work.prefill_tokens > 64 and len(refused) < 2:
                refused.append(plan.step)
                raise OutOfVram(plan.predicted_bytes)
            return watch(step, plan)

        made.executor.vram_cap.watch = watched

    made = replay(ROWS, policy, kv_blocks=60, step_tokens=128, prepare=refuse_twice)
    assert made.run.info.summary["ooms"] == 2
    assert made.run.info.summary["finished"] == len(ROWS)
    assert made.tokens == alone


def test_caches_that_are_evicted_one_by_one_all_fit_on_the_host():
    rows = [(0, 16, 130)] * 40
    made = replay(rows, "skyline(eager=1)", kv_blocks=60, max_seqs=40, max_new_tokens=130, slow_device=True)
    assert made.run.info.summary["finished"] == 40
    assert (made.run.steps["swap_bytes"] > 0).sum() > 10


def test_a_request_that_one_plan_evicts_and_admits_continues_where_it_was():
    """The budget shrinks under both: the long one outgrows it and fails; the short one is computed again at once, while
    its last token may still be on the device.
    """
    rows = [(0, 200, 90), (0, 20, 60)]
    apart = replay(rows, "paged", step_tokens=256).tokens
    both = []

    def shrink(made):
        memory, launch, plans = made._experiment.memory, made.executor.launch, []
        small = memory.fixed_bytes + memory.activation_reserve_bytes + 6 * memory.block_bytes

        def follow():
            plans.append(1)
            if len(plans) == 30:
                made._scheduler.set_budget(small)
                made.executor.vram_cap.set_budget(made._scheduler.memory)

        def watched(step):
            both.extend({evicted.id for evicted in step.plan.evicted} & {*step.plan.admitted})
            assert not (step.awaits_tokens and step.written)
            return launch(step)

        made._follow_budget, made.executor.launch = follow, watched

    made = replay(rows, "paged", kv_blocks=40, step_tokens=256, prepare=shrink)
    assert both == [1]
    assert made.run.info.summary["failed"] == 1
    assert made.tokens[1] == apart[1]


class EagerStandIn:
    """A stand-in for a captured graph: computes eagerly from the same slab, in the same padded shape."""

    def __init__(self, engine, shape):
        self.engine, self.shape, self.replays = engine, shape, 0

    def replay(self):
        self.replays += 1
        layout = self.engine.graphs._layout(self.shape)
        width = self.shape.width * self.engine.extent.block_tokens
        batch = layout.batch(self.engine.graphs.slab, StepLengths(self.shape.chunk_tokens, width))
        return self.engine.model.step(batch, self.engine._cache, self.engine._last_tokens)


@pytest.mark.parametrize("policy", ["paged", "sarathi(chunk=32)", "skyline(chunk=16)", "count-static(n=5)"])
@pytest.mark.parametrize("kv_blocks", [40, 400])
def test_steps_that_are_padded_to_a_captured_shape_give_the_same_tokens(alone, policy, kv_blocks):
    stand_ins = {}

    def capture(made):
        engine = made._engine
        engine.graphs._enabled = True
        engine.graphs._few_rows = 4  # and narrow tables for few rows, as flash-attn wants them
        for shape in engine.graphs.shapes():
            stand_ins[shape] = EagerStandIn(engine, shape)
        engine.graphs._captured = dict(stand_ins)
        sizes = [engine.graphs._layout(shape).size for shape in stand_ins]
        engine.graphs.slab = torch.zeros(max(sizes), dtype=torch.int32)

    made = replay(ROWS, policy, kv_blocks=kv_blocks, prepare=capture)
    assert made.tokens == alone
    used = [shape for shape, stand_in in stand_ins.items() if stand_in.replays]
    assert used
    if kv_blocks == 40 and "chunk" in policy:
        assert any(shape.chunk_tokens for shape in used)


def other_process(used: dict[str, int]):
    """Another process that holds as much as `used` says, sampled at each step in place of the monitor's thread."""

    def prepare(made):
        monitor, step = made._monitor, made._step
        monitor._used = lambda: used["bytes"]

        def watched(worker):
            used["steps"] += 1
            used["bytes"] = used["takes"] if 20 <= used["steps"] < 60 else 0
            monitor.look()
            return step(worker)

        made._step = watched

    return prepare


def test_memory_that_another_process_takes_shrinks_the_budget_and_comes_back(alone, monkeypatch):
    monkeypatch.setattr("warpgroup.runtime.memory.vram.GRAIN_BYTES", 4)
    budget = replay(ROWS, "skyline", kv_blocks=60).run.info.scenario.memory.budget_bytes
    total = 2 * GIB
    used = {"bytes": 0, "steps": 0, "takes": total - budget + 40 * 16 * 1024}
    made = replay(ROWS, "skyline", kv_blocks=60, prepare=other_process(used))
    budgets = made.run.steps["vram_budget_bytes"]
    assert budgets.min() < budget
    assert budgets[0] == budgets[-1] == budget
    assert made.run.info.summary["finished"] == len(ROWS)
    assert made.tokens == alone


def test_requests_come_at_their_times():
    rows = [(i * 20_000_000, 10, 3) for i in range(10)]
    run = replay(rows, "paged").run
    assert (run.requests["admitted_ns"] >= run.requests["arrival_ns"]).all()
    assert run.info.summary["makespan_s"] >= 0.18
    assert run.info.machine.schedule_lag_p99_s >= 0


def test_a_run_whose_requests_came_late_is_marked(monkeypatch):
    monkeypatch.setattr(arrivals_module, "LAG_LIMIT_S", -1.0)
    assert replay([(0, 10, 3), (10_000_000, 10, 3)], "paged").run.info.machine.degraded


def test_an_interrupted_run_can_be_read_and_is_marked(tmp_path):
    def interrupt(now):
        if now.ended:
            os.kill(os.getpid(), signal.SIGINT)

    run = replay(ROWS * 4, "paged", options=ReplayOptions(on_progress=interrupt)).run
    write_run(tmp_path / "run", run)
    again = read_run(tmp_path / "run")
    assert not again.info.complete
    assert 0 < again.info.summary["finished"] < 4 * len(ROWS)
    assert again.info.summary["aborted"] == 4 * len(ROWS) - again.info.summary["finished"]


def test_replay_all_replays_each_policy_and_resumes(tmp_path):
    from warpgroup.csrc import parse_policies
    from warpgroup.experiment import Limits, build_experiment
    from warpgroup.runtime import missing_runs, open_machine, open_session
    from warpgroup.workloads import Trace, load_model

    machine = open_machine("cpu")
    trace = Trace.of_rows(ROWS, max_new_tokens=100)
    limits = Limits(kv_blocks=60, max_seqs=16, step_tokens=64)
    experiment = build_experiment(trace, load_model("tiny"), machine.spec, limits=limits)
    policies = parse_policies("paged,skyline")
    session = open_session(experiment, policies, machine)
    replay_all(session, policies[:1], tmp_path, options=ReplayOptions())
    engine = {"attention": session.engine.model.attention, "options": ReplayOptions()}
    assert missing_runs(experiment, policies, tmp_path, **engine) == policies[1:]
    replay_all(session, policies[1:], tmp_path, options=ReplayOptions())
    assert missing_runs(experiment, policies, tmp_path, **engine) == []
    assert missing_runs(experiment, policies, tmp_path, **engine, temperature=0.5) == policies
    tighter = build_experiment(trace, load_model("tiny"), machine.spec, limits=Limits(kv_blocks=50, max_seqs=16))
    assert missing_runs(tighter, policies, tmp_path, **engine) == policies
    assert session.engine.pool.held_blocks == 0
