"""Can it be trusted? Every doubt is said once, and the worst one is that of the whole."""

import msgspec
import pytest
from support.experiments import experiment

from warpgroup.csrc import parse_policy
from warpgroup.records import MachineInfo, Run, RunInfo
from warpgroup.reports.differences import differences
from warpgroup.reports.validity import Outcome, validity, worst
from warpgroup.sim import simulate

MACHINE = MachineInfo(
    device="some card", driver="1", dtype="bfloat16", attention="paged", plan_ahead=1, graphs=0, temperature=0.0,
    fixed_bytes=0, predicted_peak_bytes=0, measured_peak_bytes=0, predicted_temporary_bytes=0,
    measured_temporary_bytes=0, process_peak_bytes=0, device_peak_bytes=0, busy_share=1.0, host_gap_s=0.0,
    schedule_lag_p99_s=0.0002, degraded=False,
)  # fmt: skip


def changed(run: Run, summary: dict | None = None, scenario: dict | None = None, **info) -> Run:
    """The run, but for that."""
    told = msgspec.structs.replace(run.info, **info)
    told = msgspec.structs.replace(
        told,
        summary=told.summary | (summary or {}),
        scenario=msgspec.structs.replace(told.scenario, **(scenario or {})),
    )
    return Run(told, run.requests, run.steps, run.events)


@pytest.fixture(scope="module")
def trusted() -> Run:
    """A run that nothing speaks against."""
    run = simulate(experiment([(0, 100, 5)] * 4, kv_blocks=100), parse_policy("paged"))
    return changed(run, {"finished": 1000}, {"step_time": "calibrated for this"})


def on_seeds(runs: list[Run], seeds: int = 5) -> list[list[RunInfo]]:
    return [[msgspec.structs.replace(run.info, seed=seed) for seed in range(seeds)] for run in runs]


def said(runs: list[Run], outcome: Outcome, seeds: int = 5) -> str:
    return " ".join(answer.text for answer in validity(runs, on_seeds(runs, seeds)) if answer.outcome is outcome)


def test_a_run_that_nothing_speaks_against_passes(trusted):
    assert worst(validity([trusted], on_seeds([trusted]))) is Outcome.PASS


@pytest.mark.parametrize(
    ("change", "outcome", "text"),
    [
        ({"scenario": {"step_time": "analytic roofline"}}, Outcome.INCONCLUSIVE, "not measured"),
        ({"complete": False}, Outcome.FAIL, "INCOMPLETE"),
        ({"summary": {"finished": 999, "rejected": 1}}, Outcome.INCONCLUSIVE, "5 rejected of 20"),
        ({"summary": {"finished": 999, "failed": 1}}, Outcome.FAIL, "5 failed of 20"),
        ({"summary": {"finished": 400}}, Outcome.INCONCLUSIVE, "400 requests finished, 662 are wanted"),
        ({"machine": msgspec.structs.replace(MACHINE, degraded=True)}, Outcome.FAIL, "DEGRADED"),
    ],
)
def test_every_doubt_is_said_and_decides(trusted, change, outcome, text):
    doubtful = changed(trusted, **change)
    assert worst(validity([doubtful], on_seeds([doubtful]))) is outcome
    assert text in said([doubtful], outcome)


def test_one_seed_is_inconclusive(trusted):
    assert "One seed" in said([trusted], Outcome.INCONCLUSIVE, seeds=1)


def test_a_seed_that_was_interrupted_is_no_seed_and_fails(trusted):
    replicates = on_seeds([trusted, trusted], seeds=3)
    replicates[1][2] = msgspec.structs.replace(replicates[1][2], complete=False)
    answers = {answer.text: answer.outcome for answer in validity([trusted, trusted], replicates)}
    text = "paged is INCOMPLETE on 1 of 3 seeds: it was interrupted, its figures are of what had run by then."
    assert answers[text] is Outcome.FAIL
    assert "2 seeds, the same requests for every policy: differences carry an interval." in answers


def test_losses_and_small_samples_of_any_seed_count(trusted):
    replicates = on_seeds([trusted], seeds=3)
    summary = replicates[0][2].summary | {"finished": 400, "failed": 600}
    replicates[0][2] = msgspec.structs.replace(replicates[0][2], summary=summary)
    text = " ".join(answer.text for answer in validity([trusted], replicates))
    assert "600 failed" in text
    assert "400 requests finished, 662 are wanted" in text


def test_seeds_that_are_not_common_to_all_are_no_repetition(trusted):
    mine, other = on_seeds([trusted, trusted], seeds=4)
    text = " ".join(answer.text for answer in validity([trusted, trusted], [mine[:2], other[2:]]))
    assert "No seed is common to all runs" in text


def test_who_does_not_keep_up_is_named_with_what_was_asked():
    run = simulate(experiment([(i * 10**6, 100, 50) for i in range(20)], kv_blocks=20), parse_policy("paged"))
    text = said([run], Outcome.INCONCLUSIVE)
    assert "Asked for 1,000 requests/s; paged finishes" in text
    assert "overloaded" in text


def test_runs_that_differ_in_a_setting_fail_and_in_their_kind_are_inconclusive(trusted):
    other = changed(trusted, scenario={"step_tokens": 7})
    assert "step_tokens" in said([trusted, other], Outcome.FAIL)
    real = changed(trusted, scenario={"step_time": "some card"}, kind="real", machine=MACHINE)
    assert said([trusted, real], Outcome.FAIL) == ""
    assert "some measured" in said([trusted, real], Outcome.INCONCLUSIVE)


def test_what_an_engine_measures_at_its_start_is_no_setting(trusted):
    memory = trusted.info.scenario.memory
    real = [
        changed(trusted, scenario={"memory": msgspec.structs.replace(memory, context_bytes=size)}, kind="real")
        for size in (1, 2)
    ]
    assert differences([run.info for run in real]) == []
    simulated = [changed(run, kind="simulated") for run in real]
    assert differences([run.info for run in simulated]) == [("memory.context_bytes", ["1", "2"])]


def test_a_limit_is_named_by_its_own_name(trusted):
    inputs = trusted.info.scenario.inputs
    limits = msgspec.structs.replace(inputs.limits, max_wait_s=4.0)
    other = changed(trusted, scenario={"inputs": msgspec.structs.replace(inputs, limits=limits)})
    assert differences([trusted.info, other.info]) == [("limits.max_wait_s", [str(inputs.limits.max_wait_s), "4.0"])]
