"""Sweeps of real little simulations: the same answer however they are run, and however often they are cut off."""

import json
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sweeps import POLICIES, RATES, SLO, InProcess, setting, swept

from warpgroup.csrc import parse_policies, parse_policy
from warpgroup.errors import DeviceUnavailable, InvalidRun, InvalidScenario, UnknownName
from warpgroup.experiment import Slo
from warpgroup.records.metrics import finished_mask
from warpgroup.records.sweep import read_sweep
from warpgroup.sim import PerStep, best_safe_count, simulate
from warpgroup.sim.sweep import estimate as sweep_plan
from warpgroup.sim.sweep import searches_of
from warpgroup.sim.sweep import workers as sweep_workers
from warpgroup.sim.sweep.estimate import TrialTimes, estimate_sweep, time_trials
from warpgroup.sim.sweep.journal import Journal
from warpgroup.sim.sweep.search import Question
from warpgroup.sim.sweep.trials import CountJob, SweepSetting, Trial, TrialJob, version_here
from warpgroup.sim.sweep.workers import check_workers, open_workers, run_on_ray

QUICK = settings(max_examples=10, deadline=None)


def files(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "sweep.json").read_bytes(), (folder / "trials.jsonl").read_bytes()


@pytest.fixture(scope="module")
def made() -> SweepSetting:
    return setting()


@pytest.fixture(scope="module")
def whole(made, tmp_path_factory) -> Path:
    """A sweep that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    swept(folder, made, InProcess(made))
    return folder


def kept(made: SweepSetting, policy: str, rate: float) -> float:
    """The share of requests that kept the SLO, one request after the other."""
    good = total = 0
    for seed in made.experiments:
        r = simulate(made.experiment(rate, seed), policy, step_time=made.step_time).requests
        rows = zip(r["arrival_ns"], r["first_token_ns"], r["finish_ns"], r["output_tokens"], strict=True)
        for arrival, first, finish, tokens in rows:
            in_time = finish >= 0 and first - arrival <= SLO.ttft_s * 1e9
            good += bool(in_time and (tokens < 2 or (finish - first) / (tokens - 1) <= SLO.tpot_s * 1e9))
            total += 1
    return good / total


def test_capacity_is_what_the_simulations_say_rate_by_rate(made, whole):
    for found in read_sweep(whole).policies:
        shares = [kept(made, found.policy, rate) for rate in RATES]
        failing = next(i for i, share in enumerate(shares) if share < 0.9)
        assert (found.capacity, found.first_failing) == (RATES[failing - 1], RATES[failing])
        assert [point.attainment for point in found.points] == [shares[RATES.index(p.rate)] for p in found.points]


def test_the_whole_grid_finds_the_same_capacities_and_measures_every_rate(made, whole, tmp_path):
    few, every = read_sweep(whole), swept(tmp_path, made, InProcess(made), every_rate=True)
    assert [p.capacity for p in every.policies] == [p.capacity for p in few.policies]
    assert all([point.rate for point in found.points] == RATES for found in every.policies)
    assert all(len(found.points) <= 4 for found in few.policies)  # ceil(log2(10 + 1))


@QUICK
@given(slots=st.integers(1, 9), seed=st.integers(0, 2**32))
def test_neither_the_number_of_slots_nor_the_order_in_which_trials_end_changes_a_byte(made, whole, slots, seed):
    with tempfile.TemporaryDirectory() as folder:
        swept(Path(folder), made, InProcess(made, slots=slots, seed=seed))
        assert files(Path(folder)) == files(whole)


@QUICK
@given(cuts=st.lists(st.integers(0, 12), max_size=4), torn=st.integers(0, 200))
def test_a_sweep_that_is_cut_off_goes_on_and_makes_nothing_twice(made, whole, cuts, torn):
    with tempfile.TemporaryDirectory() as name:
        folder, jobs = Path(name), []
        for cut in cuts:
            engine = InProcess(made, slots=3, stop_after=cut)
            with suppress(KeyboardInterrupt):
                swept(folder, made, engine)
            jobs += engine.made
            with (folder / "trials.jsonl").open("ab") as journal:  # cut off in the middle of a line
                journal.write((whole / "trials.jsonl").read_bytes()[:torn].split(b"\n")[0])
        engine = InProcess(made, slots=3)
        swept(folder, made, engine)
        jobs += engine.made
        assert files(folder) == files(whole)
        assert len({job.key for job in jobs}) == len(jobs)


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_find_the_same_to_the_byte(made, whole, tmp_path, workers):
    with open_workers("local", made, workers=workers) as engine:
        swept(tmp_path, made, engine)
    assert files(tmp_path) == files(whole)


def test_trials_of_another_question_stay_in_the_journal_and_are_not_taken_for_this_one(made, whole, tmp_path):
    (tmp_path / "trials.jsonl").write_bytes((whole / "trials.jsonl").read_bytes())
    strict = setting(slo=Slo(ttft_s=0.05, tpot_s=0.05))
    found = swept(tmp_path, strict, InProcess(strict))
    assert all(f.capacity < w.capacity for f, w in zip(found.policies, read_sweep(whole).policies, strict=True))
    swept(tmp_path, made, stopped := InProcess(made))
    assert stopped.made == []
    assert (tmp_path / "sweep.json").read_bytes() == (whole / "sweep.json").read_bytes()


def test_a_damaged_line_that_is_not_the_last_is_refused(whole, tmp_path):
    lines = (whole / "trials.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "trials.jsonl").write_bytes(lines[0] + b'{"kind": "tri\n' + lines[1])
    with pytest.raises(InvalidRun, match="trials.jsonl line 2 is not a trial"):
        Journal.read(tmp_path)


@pytest.mark.parametrize(
    ("schema", "message"),
    [(0, "schema 0, expected 1: --resume makes it again"), (99, "schema 99, this version reads up")],
)
def test_a_sweep_of_another_schema_is_refused(whole, tmp_path, schema, message):
    content = json.loads((whole / "sweep.json").read_text()) | {"schema": schema}
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    with pytest.raises(InvalidRun, match=message):
        read_sweep(tmp_path)


def test_whatever_decides_a_trial_changes_its_key_and_the_arrivals_of_the_experiment_do_not():
    def key(made: SweepSetting, policy: str = "paged", rate: float = 5.0, seed: int = 0, kind: str = "trial") -> str:
        return made.key(kind, parse_policy(policy), rate, seed)

    plain = setting()
    others = [
        key(setting(slo=Slo(1, 1))),
        key(setting(kv_blocks=41)),
        key(setting(max_seqs=9)),
        key(SweepSetting(plain.experiments, PerStep(lambda work: 1))),
        key(plain, policy="ffd"),
        key(plain, policy="ffd(margin=0.5)"),
        key(plain, rate=5.5),
        key(plain, seed=1),
        key(plain, kind="count"),
    ]
    assert len({key(plain), *others}) == 1 + len(others)
    later = {seed: plain.experiment(99.0, seed) for seed in plain.experiments}
    assert key(SweepSetting(later, plain.step_time)) == key(plain)


def test_requests_that_are_turned_away_have_not_kept_the_slo(tmp_path):
    made = setting(max_wait_s=0.02)
    job = TrialJob(parse_policy("paged"), 400.0, 0, "key")
    trial = job.run(made)
    run = simulate(made.experiment(400.0, 0), "paged", step_time=made.step_time)
    assert trial.summary.rejected > 0
    assert trial.kept <= trial.summary.finished == finished_mask(run).sum()
    found = swept(tmp_path, made, InProcess(made), policies="paged", rates=[400.0]).policies[0]
    assert found.capacity is None
    assert found.points[0].by_seed[0] == trial.kept / 60


def test_a_count_is_searched_at_the_middle_rate_on_the_first_seed_and_is_not_there_twice(made, tmp_path):
    policies = "count-continuous,count-continuous(n=4)"
    found = swept(tmp_path, made, engine := InProcess(made), policies=policies)
    best = best_safe_count(made.experiment(50.0, 0), parse_policy("count-continuous"), step_time=made.step_time)
    assert [p.policy for p in found.policies] == [*(f"count-continuous(n={n})" for n in dict.fromkeys([best.n, 32, 4]))]
    assert found.policies[0].notes[0] == f"{best}, at 50 requests/s and on seed 0 only"
    assert [job.rate for job in engine.made if isinstance(job, CountJob)] == [50.0]
    again = swept(tmp_path, made, InProcess(made), policies=f"count-continuous,count-continuous(n={best.n})")
    assert [p.policy for p in again.policies] == [f"count-continuous(n={n})" for n in (best.n, 32)]


@pytest.mark.parametrize("every_rate", [False, True])
def test_attainment_that_rises_with_the_rate_is_told(tmp_path, every_rate):
    """A static batch waits for company: the more requests come, the sooner it is full."""
    made = setting(slo=Slo(ttft_s=0.8, tpot_s=0.05))
    rates = [2.0, 5.0, 10.0]
    found = swept(
        tmp_path, made, InProcess(made), policies="count-static(n=4)", rates=rates, every_rate=every_rate
    ).policies[0]
    assert (found.capacity, found.first_failing) == (None, 2.0)
    assert "attainment rises from 40.8% at 2 to 79.2% at 5 requests/s" in found.notes[0]
    assert [p.attainment >= 0.9 for p in found.points] == [False, False, True][: len(found.points)]


def test_a_plan_counts_what_is_done_and_bounds_what_is_left(made, whole):
    question = Question(RATES)
    fresh = searches_of(parse_policies(POLICIES), made, question, {})
    planned = estimate_sweep(fresh, made, question, time_trials(fresh, made, question, 2))
    trials = [r for r in Journal.read(whole).records.values() if isinstance(r, Trial)]
    assert planned.trials_done == 0
    assert planned.trials_least <= len(trials) <= planned.trials_most
    assert 0 < planned.seconds_least <= planned.seconds_most
    done = searches_of(parse_policies(POLICIES), made, question, Journal.read(whole).records)
    planned = estimate_sweep(done, made, question, time_trials(done, made, question, 2))
    assert (planned.trials_done, planned.trials_least, planned.trials_most) == (len(trials), 0, 0)
    assert planned.seconds_most == 0


def test_ctrl_c_while_policies_are_timed_ends_the_sweep(made, monkeypatch):
    def interrupted(*arguments, **options):
        run = simulate(*arguments, **options)
        run.info.complete = False  # as `simulate` has it after Ctrl-C
        return run

    monkeypatch.setattr(sweep_plan, "simulate", interrupted)
    question = Question(RATES)
    with pytest.raises(KeyboardInterrupt):
        time_trials(searches_of(parse_policies("paged"), made, question, {}), made, question, 2)


def test_time_left_is_the_work_over_the_slots_but_no_less_than_the_longest_chain(made):
    search = searches_of([parse_policy("paged")], made, Question(RATES), {})
    assert TrialTimes([3.0], 1).left(search) == (3 * 2 * 3, 3 * 2 * 4)  # 3 to 4 rates on two seeds
    assert TrialTimes([3.0], 2).left(search) == (3 * 3, 3 * 4)
    assert TrialTimes([3.0], 100).left(search) == (3 * 3, 3 * 4)
    every = searches_of([parse_policy("paged")], made, Question(RATES, every_rate=True), {})
    assert TrialTimes([3.0], 1).left(every) == (60, 60)
    assert TrialTimes([3.0], 100).left(every) == (3, 3)


def test_an_unknown_or_missing_kind_of_workers_is_refused_by_name():
    with pytest.raises(UnknownName, match="unknown engine 'rya': did you mean 'ray'?"):
        check_workers("rya", None)
    with pytest.raises(InvalidScenario, match="--ray-address needs --engine ray"):
        check_workers("local", "auto")


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(sweep_workers, "find_spec", lambda name: None)
    with pytest.raises(DeviceUnavailable, match=r"pip install '\.\[ray\]'"):
        check_workers("ray", None)


def test_a_node_of_another_version_is_refused(made):
    job = TrialJob(parse_policy("paged"), 10.0, 0, "key")
    assert run_on_ray((made, version_here()), job) == job.run(made)
    with pytest.raises(DeviceUnavailable, match=r"a Ray node has warpgroup .*, not 9.9 beef: install the same"):
        run_on_ray((made, ("9.9", "beef")), job)


MEANS = """
import numpy as np
from warpgroup.records.metrics import weighted_spread
draw = np.random.default_rng(0)
print(weighted_spread(draw.random(50_001), draw.integers(1, 50, 50_001)).mean.hex())
"""


def test_a_mean_does_not_depend_on_how_many_threads_a_library_may_use():
    """Ray's workers may use one, processes of this machine as many as there are cores."""
    answers = set()
    for threads in ("1", "2"):
        command = [sys.executable, "-c", f"import os; os.environ['OPENBLAS_NUM_THREADS'] = '{threads}'\n{MEANS}"]
        answers.add(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert len(answers) == 1
    values, weights = (draw := np.random.default_rng(0)).random(50_001), draw.integers(1, 50, 50_001)
    assert answers == {f"{(float((values * weights).sum()) / int(weights.sum())).hex()}\n"}
