"""Replay parity: for each policy, the simulator makes the plans of a real run again, from its record alone."""

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from support.replays import replay

from warpgroup.csrc import policy_catalogue
from warpgroup.errors import InvalidRun
from warpgroup.records import Run, read_run, write_run
from warpgroup.sim import follow, simulate
from warpgroup.workloads import Trace

RNG = np.random.default_rng(3)
MS = 10**6
AT_ONCE = [(0, int(RNG.integers(5, 120)), int(RNG.integers(1, 40))) for _ in range(24)]
OVER_TIME = [(int(i * 4 * MS), prompt, output) for i, (_, prompt, output) in enumerate(AT_ONCE)]
POLICIES = [info.id for info in policy_catalogue()]
PARAMETERS = {"count-static": "(n=5,timeout_s=0.02)", "count-continuous": "(n=5)"}


@pytest.mark.parametrize("rows", [AT_ONCE, OVER_TIME], ids=["at-once", "over-time"])
@pytest.mark.parametrize("policy", [id + PARAMETERS.get(id, "") for id in POLICIES] + ["skyline(eager=1,chunk=16)"])
def test_the_simulator_makes_the_plans_of_a_replay(policy, rows, tmp_path):
    real = replay(rows, policy, kv_blocks=24, step_tokens=160).run
    write_run(tmp_path / "run", real)
    parity = follow(read_run(tmp_path / "run"))
    assert parity.difference is None
    assert parity.run.info.plan_hash == real.info.plan_hash
    for name in ("admitted_ns", "first_token_ns", "finish_ns", "status", "preemptions"):
        assert parity.run.requests[name].tolist() == real.requests[name].tolist(), name
    assert parity.run.info.summary["e2e_s"] == real.info.summary["e2e_s"]


def test_out_of_memory_steps_and_rejections_are_part_of_it():
    long = [(0, 100, 30)] * 10 + [(0, 2000, 5)]
    real = replay(long, "count-static(n=8)", kv_blocks=40, step_tokens=256).run
    assert real.info.summary["ooms"] > 0
    assert follow(real).difference is None
    real = replay(long, "paged", kv_blocks=40, step_tokens=256).run
    assert real.info.summary["rejected"] == 1
    assert follow(real).difference is None


class OtherProcesses:
    """A stand-in for the monitor: other processes take the memory of as many blocks as `taken` says."""

    peak_used_bytes = 0

    def __init__(self, replay, taken: Callable[[], int]) -> None:
        self._memory, self._taken = replay._experiment.memory, taken

    @property
    def left_bytes(self) -> int:
        return self._memory.budget_bytes - self._taken() * self._memory.block_bytes


def test_a_budget_that_moves_is_part_of_it():
    def shrink(made):
        plans = iter(range(10**6))
        made._monitor = OtherProcesses(made, lambda: 16 if 10 < next(plans) < 60 else 0)

    real = replay(AT_ONCE, "paged", kv_blocks=40, step_tokens=160, prepare=shrink).run
    assert len({*real.steps["vram_budget_bytes"].tolist()}) == 2
    assert follow(real).difference is None


def test_a_rejection_belongs_to_the_plan_before_which_it_came():
    rows = [*((0, 100, 30) for _ in range(6)), (60 * MS, 2000, 5), (61 * MS, 20, 5)]
    real = replay(rows, "paged", kv_blocks=40, step_tokens=256).run
    assert real.info.summary["rejected"] == 1
    assert follow(real).difference is None


def test_rejections_for_a_long_wait_are_part_of_it():
    rows = [(int(i * 2 * MS), 60, 30) for i in range(300)]  # long enough for a machine that is busy meanwhile
    real = replay(rows, "paged", kv_blocks=24, step_tokens=64, max_wait_s=0.001).run
    assert real.info.summary["rejected"] > 0
    assert follow(real).difference is None


def test_a_budget_that_falls_and_comes_back_while_nothing_runs_is_part_of_it():
    rows = [(0, 20, 3), (450 * MS, 300, 3), (800 * MS, 20, 3)]

    def shrink(made):
        made._monitor = OtherProcesses(made, lambda: 30 if 200 * MS < made._clock.now_ns() < 600 * MS else 0)

    real = replay(rows, "paged", kv_blocks=40, step_tokens=320, prepare=shrink).run
    assert real.info.summary["rejected"] == 1
    assert len({*real.steps["vram_budget_bytes"].tolist()}) == 1, "no step ran under the small budget"
    assert follow(real).difference is None


def test_a_request_that_fails_while_nothing_else_runs_is_part_of_it():
    rows = [(0, 20, 90), (900 * MS, 20, 3)]
    real = replay(rows, "paged", kv_blocks=4, step_tokens=64).run
    assert real.info.summary["failed"] == 1
    assert follow(real).difference is None


def changed(run: Run, **steps: np.ndarray) -> Run:
    return Run(run.info, run.requests, run.steps | steps, run.events)


def test_a_difference_is_named_at_the_first_plan_that_differs():
    real = replay(AT_ONCE, "paged", kv_blocks=24, step_tokens=160).run
    rows = real.steps["decode_rows"].copy()
    rows[5:] += 1
    found = follow(changed(real, decode_rows=rows))
    seconds = real.steps["plan_ns"][5] / 1e9
    assert found.difference == (
        f"plan 5, at {seconds:.6f} s, differs: decode_rows {rows[5]} in the run and {rows[5] - 1} here"
    )
    later = real.steps["ticket"].copy()
    later[:4] = 0
    found = follow(changed(real, ticket=later))
    assert found.difference is not None
    assert found.difference.startswith("plan 0, at 0.0")
    assert "prefill_tokens" in found.difference


def test_a_hash_of_other_plans_is_a_difference_though_every_step_looks_the_same():
    real = replay(AT_ONCE, "paged", kv_blocks=24, step_tokens=160).run
    other = msgspec.structs.replace(real.info, plan_hash="0" * 16)
    found = follow(Run(other, real.requests, real.steps, real.events))
    assert found.difference.startswith("every step is the same, but the plans' hash is ")


def test_another_policy_than_that_of_the_run_is_a_difference():
    real = replay(AT_ONCE, "paged", kv_blocks=24, step_tokens=160).run
    other = msgspec.structs.replace(real.info, policy="skyline")
    found = follow(Run(other, real.requests, real.steps, real.events))
    assert found.difference is not None


def test_records_without_the_needed_facts_are_refused():
    trace = Trace.of_rows([(0, 10, 30)], max_new_tokens=100)
    simulated = simulate(trace, "paged")
    with pytest.raises(InvalidRun, match="took several steps as one"):
        follow(simulated)
    scenario = msgspec.structs.replace(simulated.info.scenario, inputs=None)
    older = msgspec.structs.replace(simulated.info, scenario=scenario)
    with pytest.raises(InvalidRun, match="does not say what the run was made of"):
        follow(Run(older, simulated.requests, simulated.steps, simulated.events))
    requests = simulated.requests | {"prompt_tokens": simulated.requests["prompt_tokens"] + 1}
    with pytest.raises(InvalidRun, match="their requests differ"):
        follow(Run(simulated.info, requests, simulated.steps, simulated.events))
