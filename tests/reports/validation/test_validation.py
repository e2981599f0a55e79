"""Validation: a simulation is held against a run, figure by figure."""

import dataclasses

import msgspec
import numpy as np
import pytest
from support.experiments import experiment

from warpgroup.errors import InvalidRun
from warpgroup.reports import as_table, validate, write_validation
from warpgroup.reports.validation.validation import LIMITS
from warpgroup.sim import simulate
from warpgroup.sim.step_time.profile import RegionError

MS = 10**6
RNG = np.random.default_rng(0)
ROWS = [(int(i * 30 * MS), int(RNG.integers(5, 200)), int(RNG.integers(1, 60))) for i in range(60)]


def run(step_ns: int, rows=ROWS, **options):
    return simulate(experiment(rows, **options), "paged", step_time=lambda work: step_ns)


def check(validation, name: str):
    return next(each for each in validation.checks if each.name == name)


def test_a_run_held_against_itself_is_off_by_nothing():
    same = validate(run(10 * MS), run(10 * MS), RegionError(steps=1, median=0.01, p95=0.02, total=0))
    assert not same.missed
    assert all(each.error == 0 for each in same.checks if not each.name.startswith("step"))
    limited = {each.name for each in same.checks if each.limit is not None}
    assert limited == {name for name in LIMITS if not name.endswith("p99")}


def test_steps_that_take_a_tenth_longer_are_seen_in_every_latency():
    slower = validate(run(10 * MS), run(11 * MS))
    tpot = check(slower, "TPOT mean")
    assert tpot.error == pytest.approx(0.1, abs=0.02)
    low, high = tpot.interval
    assert low <= tpot.error <= high
    assert "E2E mean" in [each.name for each in slower.missed]


def test_above_capacity_waiting_is_compared_with_the_whole():
    rows = [(0, prompt, output) for _, prompt, output in ROWS]
    a, b = run(10 * MS, rows, max_seqs=4), run(11 * MS, rows, max_seqs=4)
    ttft = check(validate(a, b), "TTFT mean")
    mean_e2e = a.info.summary["e2e_s"]["mean"]
    assert ttft.error == pytest.approx((ttft.simulated - ttft.real) / mean_e2e)


def test_few_requests_have_no_p99():
    names = [each.name for each in validate(run(MS), run(MS)).checks]
    assert "E2E p90" in names
    assert "E2E p99" not in names
    many = [(int(i * 20 * MS), 10, 3) for i in range(700)]
    assert "E2E p99" in [each.name for each in validate(run(MS, many), run(MS, many)).checks]


def test_the_worst_requests_are_named():
    a = run(10 * MS)
    finish = a.requests["finish_ns"].copy()
    finish[17] += 9 * 10**9
    b = dataclasses.replace(a, requests={**a.requests, "finish_ns": finish})
    row, prompt, output, real_s, simulated_s = validate(a, b).worst[0]
    assert (row, prompt, output) == (17, ROWS[17][1], ROWS[17][2])
    assert simulated_s - real_s == pytest.approx(9)


def test_what_is_nothing_in_reality_and_something_simulated_has_no_error():
    a = run(MS)
    b = dataclasses.replace(a, info=msgspec.structs.replace(a.info, summary=a.info.summary | {"preemptions": 3}))
    found = check(validate(a, b), "preemptions")
    assert (found.error, found.simulated) == (None, 3)


def test_other_requests_are_refused():
    with pytest.raises(InvalidRun, match="have different requests"):
        validate(run(MS), run(MS, ROWS[:-1]))


def test_the_page_says_what_is_missed_and_shows_both(tmp_path):
    found = [validate(run(10 * MS), run(13 * MS)), validate(run(MS), run(MS))]
    write_validation(found, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert f"{len(found[0].missed)} of " in page
    assert page.count("<svg") == 4
    assert "http://" not in page.replace("http://www.w3.org", "")
    table = as_table(found)
    assert len(msgspec.json.decode(msgspec.json.encode(table))) == sum(len(each.checks) for each in found)
    assert {row["policy"] for row in table} == {"paged"}
