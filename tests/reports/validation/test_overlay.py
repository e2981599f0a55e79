"""Prediction over measurement: only where there are both, of the same requests under the same policy."""

import dataclasses

import msgspec
import numpy as np
import pytest
from support.experiments import experiment

from warpgroup.reports.comparison.validity import Answer, Trust, validity, worst
from warpgroup.reports.judging.study import Study
from warpgroup.reports.judging.verdict import verdict
from warpgroup.reports.validation.overlay import mean_used_bytes, overlay, overlay_figure, pairs
from warpgroup.reports.validation.validation import validate
from warpgroup.sim import simulate

ROWS = [(i * 3_000_000, 20 + i % 90, 2 + i % 37) for i in range(60)]


def simulated(policy="paged", rows=ROWS, step_ns=2_000_000):
    return simulate(experiment(rows, kv_blocks=40), policy, step_time=lambda work: step_ns)


def as_real(run, **changes):
    return dataclasses.replace(run, info=msgspec.structs.replace(run.info, kind="real", **changes))


def study(*runs):
    return Study.of(runs=list(runs), replicates=[[run.info] for run in runs], ablation=[], sweeps=[])


def test_without_a_counterpart_there_is_nothing_to_overlay():
    real = as_real(simulated())
    assert overlay(study(real)) is None
    assert overlay(study(simulated(), simulated("ffd"))) is None
    assert overlay(study(real, simulated("ffd"), simulated(rows=ROWS[1:]))) is None
    assert overlay(study(as_real(simulated(), complete=False), simulated())) is None


def test_each_real_run_finds_its_own_prediction():
    real = [as_real(simulated()), as_real(simulated("ffd"))]
    predicted = [simulated("ffd"), simulated()]
    found = pairs([*real, *predicted])
    assert [(a.info.policy, b.info.policy) for a, b in found] == [("paged", "paged"), ("ffd", "ffd")]


def simulated_with(**changes):
    """The same requests under other circumstances."""
    run = simulated()
    info = msgspec.structs.replace(run.info, scenario=msgspec.structs.replace(run.info.scenario, **changes))
    return dataclasses.replace(run, info=info)


def limited(**limits):
    inputs = simulated().info.scenario.inputs
    changed = msgspec.structs.replace(inputs, limits=msgspec.structs.replace(inputs.limits, **limits))
    return simulated_with(inputs=changed)


def test_a_simulation_of_another_device_or_with_other_limits_is_no_counterpart():
    real = as_real(simulated())
    others = [
        simulated_with(device="h200"),
        simulated_with(max_seqs=3),
        simulated_with(step_tokens=333),
        limited(kv_blocks=39),
        limited(max_wait_s=4.0),
    ]
    assert pairs([real, *others]) == []


def parity_check(real, **changes):
    """As `simulate --step-times` makes it."""
    scenario = msgspec.structs.replace(real.info.scenario, recorded_times=True)
    info = msgspec.structs.replace(real.info, kind="simulated", scenario=scenario, **changes)
    return dataclasses.replace(real, info=info)


def test_a_parity_check_predicts_nothing():
    real = as_real(simulated())
    again = parity_check(real)
    assert overlay(study(real, again)) is None
    (held,) = pairs([real, again, simulated(step_ns=2_200_000)])
    assert held[1].info.scenario.step_time == "given function"
    text = f"It repeats a real run with the step times measured there: the plans agree (hash {real.info.plan_hash})."
    answers = validity([real, again], [[real.info], [again.info]])
    assert Answer(Trust.PASS, f"paged (simulated) is a parity check. {text}") in answers
    assert not [answer for answer in answers if "trustworthy" in answer.text or "Simulated" in answer.text]
    other = parity_check(real, plan_hash="0" * 16)
    assert worst(validity([real, other], [[real.info], [other.info]])) is Trust.FAIL


def test_a_parity_check_does_not_compete():
    real, again = as_real(simulated("ffd")), parity_check(as_real(simulated(step_ns=1_000)))
    judged = verdict([real.info, again.info])
    assert (judged.name, judged.ranking) == ("ffd (real)", [0])
    assert not [detail for detail in judged.details if detail.startswith("Caution")]
    told = (
        "paged (simulated) is not ranked: it is a parity check, which repeats a measured run with its own step times."
    )
    assert told in judged.details
    assert verdict([again.info, again.info]).contested


def test_what_an_engine_measures_of_itself_and_a_limit_that_is_the_devices_own_make_no_difference():
    real = as_real(limited(graph_pool_bytes=1 << 30, slack_bytes=1 << 25))
    same = limited(max_seqs=real.info.scenario.max_seqs, step_tokens=real.info.scenario.step_tokens)
    assert len(pairs([real, same])) == 1


def test_an_overlay_has_the_errors_and_the_worst_requests_of_the_validation():
    real, predicted = as_real(simulated()), simulated(step_ns=2_200_000)
    (shown,) = overlay(study(real, predicted))
    held = validate(real, predicted)
    assert [check["name"] for check in shown.checks] == [check.name for check in held.checks]
    assert shown.missed == len(held.missed) > 0
    assert len(shown.worst) == 10
    assert shown.figure.startswith("<svg")
    assert overlay(study(real, predicted)) == [shown]


def test_the_band_is_as_wide_as_the_median_error():
    figure = overlay_figure(as_real(simulated()), simulated(rows=ROWS, step_ns=2_200_000))
    memory, latency = figure.axes
    assert "for half of the time" in memory.get_title("left")
    assert "for half of the requests" in latency.get_title("left")


def test_a_log_without_steps_has_no_memory_to_lay_anything_over():
    run = simulated()
    bare = dataclasses.replace(as_real(run), steps={name: values[:0] for name, values in run.steps.items()})
    assert len(overlay_figure(bare, run).axes) == 1


def test_mean_memory_is_between_what_is_always_held_and_the_peak():
    run = simulated()
    end_s = float((run.steps["start_ns"] + run.steps["duration_ns"]).max()) / 1e9
    mean = mean_used_bytes(run, np.linspace(0, 2 * end_s, 41))
    assert mean.min() == pytest.approx(run.info.scenario.memory.fixed_bytes)
    assert mean.max() <= run.steps["vram_used_bytes"].max()
