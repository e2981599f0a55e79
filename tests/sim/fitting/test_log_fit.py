"""Step times from a log alone: rates that made a log are found again, as far as it tells of them."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from warpgroup.csrc import parse_policy
from warpgroup.errors import InvalidProfile
from warpgroup.experiment import Limits, build_experiment
from warpgroup.reports import validate
from warpgroup.sim import AnalyticStepTime, simulate
from warpgroup.sim.fitting.log_fit import fit_log
from warpgroup.sim.fitting.request_log import align_clocks, run_from_log
from warpgroup.sim.step_time.profile import (
    SCHEMA,
    CalibratedStepTime,
    Corrections,
    Profile,
    RegionError,
    read_profile,
    shipped_profile,
)
from warpgroup.workloads import RequestLog, Trace, load_device, load_model

MODEL, DEVICE = load_model("qwen2.5-7b"), load_device("h200")
PAGED = parse_policy("paged")
REALITY = shipped_profile(MODEL, DEVICE).step_time()  # with corrections that the fitted rates do not have


def requests(rate: float, count: int, seed: int = 0) -> Trace:
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1e9 / rate, count)) if rate else np.zeros(count)
    prompts, outputs = rng.lognormal(6.5, 1, count).clip(10, 6000), rng.lognormal(5, 0.8, count).clip(1, 900)
    rows = zip(arrivals - arrivals[0], prompts, outputs, strict=True)
    return Trace.of_rows([(int(a), int(p), int(o)) for a, p, o in rows], max_new_tokens=1000)


def experiment(trace: Trace, kv_blocks: int = 0):
    return build_experiment(trace, MODEL, DEVICE, limits=Limits(kv_blocks=kv_blocks))


def logged(made, *, offset_ns: int | None = None, noise: float = 0.0) -> RequestLog:
    """What an engine whose steps take as long as in reality would have written down."""
    run = simulate(made, PAGED, step_time=REALITY, plan_ahead=True)
    first, last = run.requests["first_token_ns"], run.requests["finish_ns"]
    if noise:
        late = np.random.default_rng(1).exponential(noise, len(first)).astype(np.int64)
        first, last = first + late, last + late
    return RequestLog(made.trace, first + (offset_ns or 0), last + (offset_ns or 0), same_clock=offset_ns is None)


def fitted(log: RequestLog, made) -> CalibratedStepTime:
    found = fit_log(log, made, PAGED)
    return CalibratedStepTime(
        Profile(
            schema=SCHEMA, model="m", device="d", attention="", source="", date="", command="", versions={},
            rates=found.rates, corrections=Corrections(), error=found.error,
        )
    )  # fmt: skip


def off(log: RequestLog, made, step_time) -> dict[str, float]:
    run = simulate(made, PAGED, step_time=step_time, plan_ahead=True)
    checks = validate(run_from_log(align_clocks(log, run), run), run).checks
    return {check.name: abs(check.error) for check in checks}


@pytest.mark.parametrize("kv_blocks", [0, 1500])
@pytest.mark.parametrize("rate", [0, 15, 40])
def test_a_simulation_with_fitted_rates_repeats_the_log_far_better_than_the_roofline(rate, kv_blocks):
    made = experiment(requests(rate, 300), kv_blocks)
    log = logged(made)
    before = off(log, made, AnalyticStepTime(made.memory.geometry, DEVICE))
    after = off(log, made, fitted(log, made))
    assert after["E2E mean"] < 0.02
    assert after["E2E mean"] < before["E2E mean"] / 3
    assert after["makespan"] < 0.02
    assert after["TPOT p90"] < 0.06


def test_what_was_fitted_holds_for_other_requests_at_another_rate():
    made, other = experiment(requests(15, 400)), experiment(requests(20, 400, seed=7))
    step_time = fitted(logged(made), made)
    assert off(logged(other), other, step_time)["E2E mean"] < 0.03


@pytest.mark.parametrize("offset_ns", [-(10**18), 5 * 10**15])
def test_clocks_that_differ_cost_what_nobody_can_know_and_no_more(offset_ns):
    made = experiment(requests(20, 300))
    log = logged(made, offset_ns=offset_ns)
    step_time = fitted(log, made)
    assert off(logged(made), made, step_time)["E2E mean"] < 0.03
    run = simulate(made, PAGED, step_time=step_time, plan_ahead=True)
    held = validate(run_from_log(align_clocks(log, run), run), run, is_wait_known=False)
    assert {check.name for check in held.checks if check.limit is not None} == {"TPOT p90"}
    assert held.missed == []


def test_a_few_late_answers_do_not_move_the_rates():
    made = experiment(requests(20, 300))
    log = logged(made)
    late = np.zeros(300, dtype=np.int64)
    late[::20] = 3 * 10**9
    disturbed = replace(log, last_ns=log.last_ns + late)
    assert off(log, made, fitted(disturbed, made))["E2E mean"] < 0.03


def test_the_error_is_of_requests_that_were_left_out_and_says_what_noise_there_is():
    made = experiment(requests(20, 300))
    calm, noisy = fit_log(logged(made), made, PAGED).error, fit_log(logged(made, noise=2e8), made, PAGED).error
    assert set(calm) == {"all", "to the first token", "from the first to the last token"}
    assert calm["all"].steps == 2 * 300 - int((made.trace.output_tokens == 1).sum())
    assert noisy["to the first token"].median > 2 * calm["to the first token"].median


def test_too_few_requests_are_refused():
    made = experiment(requests(10, 19))
    with pytest.raises(InvalidProfile, match="the log has 19 requests, a fit needs at least 20"):
        fit_log(logged(made), made, PAGED)


def test_a_log_that_no_simulation_finishes_is_refused():
    log = logged(experiment(requests(10, 40)))
    with pytest.raises(InvalidProfile, match="finish in its simulation"):
        fit_log(log, experiment(log.trace, kv_blocks=1), PAGED)


def test_a_log_of_single_tokens_by_other_clocks_has_no_time_that_is_known():
    trace = Trace.of_rows([(i * 10**8, 300, 1) for i in range(40)], max_new_tokens=10)
    with pytest.raises(InvalidProfile, match="have a known time"):
        fit_log(logged(experiment(trace), offset_ns=10**18), experiment(trace), PAGED)


def test_a_log_holds_no_steps_and_what_cannot_be_known_is_not_compared():
    made = experiment(requests(20, 50))
    run = simulate(made, PAGED, step_time=REALITY, plan_ahead=True)
    held = validate(run_from_log(logged(made), run), run)
    assert {check.name for check in held.checks if check.error != 0} == set()
    assert not {"peak VRAM", "preemptions", "steps out of memory"} & {check.name for check in held.checks}
    assert held.real.info.kind == "log"


def test_a_profile_of_a_log_says_that_its_error_is_of_requests(tmp_path):
    rates = shipped_profile(MODEL, DEVICE).rates
    profile = Profile(
        schema=SCHEMA, model="m", device="d", attention="", source="a log", date="2026-01-01", command="", versions={},
        rates=rates, corrections=Corrections(), error={"all": RegionError(10, 0.01, 0.05, 0.0)},
    )  # fmt: skip
    profile.save(tmp_path / "p.json")
    again = read_profile(tmp_path / "p.json")
    assert msgspec.json.encode(again) == msgspec.json.encode(profile)
    assert "a time of a request is off by 1.0%" in again.step_time().description
