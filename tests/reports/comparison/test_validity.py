"""Can it be trusted? Every doubt is said once, and the worst one is that of the whole."""

import msgspec
import pytest
from support.experiments import experiment

from warpgroup.csrc import parse_policy
from warpgroup.records import MachineInfo, Run, RunInfo
from warpgroup.reports.comparison.validity import Trust, validity, worst
from warpgroup.reports.judging.differences import differences
from warpgroup.sim import simulate
from warpgroup.sim.step_time.profile import shipped_profiles
from warpgroup.workloads import Trace, with_arrivals

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


def calibrated(median: float, p95: float) -> str:
    """What a simulation says of a profile that is that far off."""
    profile = next(shipped_profiles())
    error = msgspec.structs.replace(profile.error["all"], median=median, p95=p95)
    return msgspec.structs.replace(profile, error={"all": error}).step_time().description


@pytest.fixture(scope="module")
def trusted() -> Run:
    """A run that nothing speaks against."""
    run = simulate(experiment([(0, 100, 5)] * 4, kv_blocks=100), parse_policy("paged"))
    return changed(run, {"finished": 1000}, {"step_time": calibrated(0.01, 0.04)})


def on_seeds(runs: list[Run], seeds: int = 5) -> list[list[RunInfo]]:
    return [[msgspec.structs.replace(run.info, seed=seed) for seed in range(seeds)] for run in runs]


def said(runs: list[Run], outcome: Trust, seeds: int = 5) -> str:
    return " ".join(answer.text for answer in validity(runs, on_seeds(runs, seeds)) if answer.outcome is outcome)


def test_a_run_that_nothing_speaks_against_passes(trusted):
    assert worst(validity([trusted], on_seeds([trusted]))) is Trust.PASS


@pytest.mark.parametrize(
    ("change", "outcome", "text"),
    [
        ({"scenario": {"step_time": "analytic roofline"}}, Trust.INCONCLUSIVE, "not measured"),
        ({"scenario": {"step_time": calibrated(0.031, 0.04)}}, Trust.INCONCLUSIVE, "the limits of 3 % in the"),
        ({"scenario": {"step_time": calibrated(0.01, 0.118)}}, Trust.INCONCLUSIVE, "or 8 % at p95"),
        ({"complete": False}, Trust.FAIL, "INCOMPLETE"),
        ({"summary": {"finished": 999, "rejected": 1}}, Trust.INCONCLUSIVE, "5 rejected of 20"),
        ({"summary": {"finished": 999, "failed": 1}}, Trust.FAIL, "5 failed of 20"),
        ({"summary": {"finished": 400}}, Trust.INCONCLUSIVE, "400 requests finished, and a p99 needs 662"),
        ({"machine": msgspec.structs.replace(MACHINE, degraded=True)}, Trust.FAIL, "DEGRADED"),
    ],
)
def test_every_doubt_is_said_and_decides(trusted, change, outcome, text):
    doubtful = changed(trusted, **change)
    assert worst(validity([doubtful], on_seeds([doubtful]))) is outcome
    assert text in said([doubtful], outcome)


def test_one_seed_is_inconclusive(trusted):
    assert "One seed" in said([trusted], Trust.INCONCLUSIVE, seeds=1)


def test_a_seed_that_was_interrupted_is_no_seed_and_fails(trusted):
    replicates = on_seeds([trusted, trusted], seeds=3)
    replicates[1][2] = msgspec.structs.replace(replicates[1][2], complete=False)
    answers = {answer.text: answer.outcome for answer in validity([trusted, trusted], replicates)}
    text = "paged #2 is INCOMPLETE on 1 of 3 seeds: it was interrupted, and its figures cover what had run by then."
    assert answers[text] is Trust.FAIL
    assert "2 seeds, the same requests for every policy: differences have an interval." in answers


def test_losses_and_small_samples_of_any_seed_count(trusted):
    replicates = on_seeds([trusted], seeds=3)
    summary = replicates[0][2].summary | {"finished": 400, "failed": 600}
    replicates[0][2] = msgspec.structs.replace(replicates[0][2], summary=summary)
    text = " ".join(answer.text for answer in validity([trusted], replicates))
    assert "600 failed" in text
    assert "400 requests finished, and a p99 needs 662" in text


def test_seeds_that_are_not_common_to_all_are_no_repetition(trusted):
    mine, other = on_seeds([trusted, trusted], seeds=4)
    text = " ".join(answer.text for answer in validity([trusted, trusted], [mine[:2], other[2:]]))
    assert "No seed is common to all runs" in text


def test_who_does_not_keep_up_is_named_with_what_was_asked():
    run = simulate(experiment([(i * 10**6, 100, 50) for i in range(20)], kv_blocks=20), parse_policy("paged"))
    text = said([run], Trust.INCONCLUSIVE)
    assert "1,000 requests/s arrive; paged finishes" in text
    assert "overload" in text


def test_who_rejects_keeps_up_with_what_is_left_and_the_answer_says_so():
    """One request a second for twenty seconds, of which half can never fit."""
    rows = [(i * 10**9, 100 if i % 2 else 5000, 5) for i in range(20)]
    run = simulate(experiment(rows, kv_blocks=20), parse_policy("paged"))
    assert run.info.summary["rejected"] == 10
    expected = "All runs keep up with the 1.00 requests/s that arrive, rejected requests aside."
    assert expected in said([run], Trust.PASS)
    assert "overload" not in said([run], Trust.INCONCLUSIVE)


def test_what_is_said_of_a_run_says_whether_it_is_the_real_one(trusted):
    run = simulate(experiment([(i * 10**6, 100, 50) for i in range(20)], kv_blocks=20), parse_policy("paged"))
    real = changed(run, {"failed": 1}, kind="real", machine=MACHINE, complete=False)
    text = " ".join(answer.text for answer in validity([run, real], on_seeds([run, real])))
    for told in (" is INCOMPLETE", ": 5 failed", " finishes", ": requests were submitted"):
        assert f"paged (real){told}" in text


def test_runs_of_different_versions_or_commits_differ(trusted):
    made = {"warpgroup": "1.0", "commit": "abc", "python": "3.11.2"}
    run = changed(trusted, versions=made)
    for name, version in (("warpgroup", "1.1"), ("commit", "def")):
        other = changed(trusted, versions=made | {name: version})
        assert f"versions.{name}" in said([run, other], Trust.FAIL)
        assert differences([run.info, other.info]) == [(f"versions.{name}", [made[name], version])]


def test_what_only_one_run_has_and_what_changes_no_result_is_no_difference_in_versions(trusted):
    here = changed(trusted, versions={"warpgroup": "1.0", "python": "3.11.2"})
    there = changed(trusted, versions={"warpgroup": "1.0", "python": "3.13.0", "torch": "2.8", "commit": "abc"})
    assert differences([here.info, there.info]) == []


def test_runs_that_differ_in_a_setting_fail_and_in_their_kind_are_inconclusive(trusted):
    other = changed(trusted, scenario={"step_tokens": 7})
    assert "step_tokens" in said([trusted, other], Trust.FAIL)
    real = changed(trusted, scenario={"step_time": "some card"}, kind="real", machine=MACHINE)
    assert said([trusted, real], Trust.FAIL) == ""
    assert "some are measured" in said([trusted, real], Trust.INCONCLUSIVE)


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


def test_a_replay_and_its_simulation_differ_by_what_a_machine_measures_and_that_is_inconclusive(trusted):
    def divided(context_bytes: int) -> dict:
        memory = msgspec.structs.replace(trusted.info.scenario.memory, context_bytes=context_bytes, budget_bytes=10**9)
        limits = msgspec.structs.replace(trusted.info.scenario.inputs.limits, slack_bytes=context_bytes)
        inputs = msgspec.structs.replace(trusted.info.scenario.inputs, limits=limits)
        return {"memory": memory, "inputs": inputs, "step_time": f"machine {context_bytes}"}

    versions = {"warpgroup": "1.0", "numpy": "2.0"}
    simulated = changed(trusted, versions=versions)
    real = changed(
        trusted,
        scenario=divided(7),
        kind="real",
        machine=MACHINE,
        versions=versions | {"numpy": "2.1", "torch": "2.11"},
    )
    text = said([real, simulated], Trust.INCONCLUSIVE)
    assert "Some runs are simulated and some are measured" in text
    assert "or their memory (memory.budget_bytes)." in text
    other = changed(real, versions=versions | {"torch": "2.12"})
    assert "versions.torch" in said([real, other, simulated], Trust.FAIL)
    assert "versions.warpgroup" in said([real, changed(simulated, versions={"warpgroup": "1.1"})], Trust.FAIL)


def test_of_a_closed_loop_no_rate_is_asked():
    trace = with_arrivals(Trace.of_rows([(i * 10**6, 100, 50) for i in range(20)], max_new_tokens=100), "users:3", 0)
    run = simulate(experiment(trace, kv_blocks=20), parse_policy("paged"))
    assert "Closed loop: 17 of 20 requests arrive when another request has ended" in said([run], Trust.PASS)
