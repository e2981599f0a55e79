"""The power of the timed class: what it can detect, and how often its decisions are wrong."""

from pathlib import Path

import numpy as np
import pytest

from warpgroup.reports.gate.classes.timed.decision import BenchmarkRound, RoundVerdict, TimingRule, run_round
from warpgroup.reports.gate.classes.timed.detectable import detectable_slowdowns
from warpgroup.reports.gate.classes.timed.pairs import Launch, LaunchProblem, Side
from warpgroup.reports.gate.classes.timed.trials import (
    GateTrial,
    TrialSetting,
    busy_cores,
    rate_bound,
    read_journal,
    run_trials,
    tally_trials,
)
from warpgroup.reports.gate.result import Outcome

RULE = TimingRule(threshold=0.025)
WORK = """
import time

def work(seconds={seconds}):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
"""


def launches(spread: float, count: int = 100, seed: int = 0) -> list[Launch]:
    """Of a program against itself, whose launches differ by so much."""
    rng = np.random.default_rng(seed)
    means = np.exp(rng.normal(0, spread, (count, 2, 1)))
    samples = (means * (1 + rng.gamma(0.5, 0.02, (count, 2, 12)))).tolist()
    return [Launch({"a": (base, head)}) for base, head in samples]


def test_more_noise_hides_more():
    calm, wild = (detectable_slowdowns(launches(spread), RULE)["a"] for spread in (0.002, 0.02))
    assert 0 < calm < 0.005 < wild < 0.1


def test_what_is_detectable_is_found():
    """In 100 gates with a slow-down of that size, and a threshold at zero, a round sees it but once or twice."""
    noise = launches(0.01)
    slower = detectable_slowdowns(noise, RULE)["a"]
    rng, rule = np.random.default_rng(1), TimingRule(threshold=0.0, launches=(64, 64))

    def source(names, count):
        for _ in range(count):
            base, head = noise[rng.integers(len(noise))].samples["a"][:: rng.choice([-1, 1])]
            yield Launch({"a": (base, [sample * (1 + slower) for sample in head])})

    found = [{"a": BenchmarkRound()} for _ in range(100)]
    for findings in found:
        run_round(source, findings, rule, lambda: False)
    assert sum(findings["a"].verdict is RoundVerdict.SLOWER for findings in found) >= 97


def test_a_benchmark_that_broke_is_not_calibrated():
    assert detectable_slowdowns([*launches(0.01, 20), Launch({}, {"a": LaunchProblem("crashed")})], RULE) == {}


def test_a_certification_counts_what_went_wrong():
    gates = [
        GateTrial(TrialSetting.SAME, Outcome.PASSED, 0.001, 6.0, ""),
        GateTrial(TrialSetting.SAME, Outcome.REGRESSED, 0.03, 12.0, ""),
        GateTrial(TrialSetting.SLOWED, Outcome.REGRESSED, 0.05, 12.0, ""),
        GateTrial(TrialSetting.SLOWED, Outcome.INCONCLUSIVE, 0.03, 12.0, ""),
        GateTrial(TrialSetting.LOADED, Outcome.INCONCLUSIVE, 0.03, 12.0, ""),
    ]
    tallies = tally_trials(gates, "a", RULE).tallies
    assert {name: (each.gates, each.wrong) for name, each in tallies.items()} == {
        "a/a": (2, 1),
        "slowed": (2, 1),
        "a/a under load": (1, 0),
    }


@pytest.mark.parametrize(
    ("events", "trials", "bound"), [(0, 300, 0.009936), (1, 300, 0.015717), (0, 100, 0.029513), (5, 5, 1.0)]
)
def test_the_bound_of_a_rate(events, trials, bound):
    assert rate_bound(events, trials) == pytest.approx(bound, abs=1e-5)


def test_a_certification_goes_on_where_it_stopped(tmp_path: Path):
    bench = tmp_path / "bench_it.py"
    bench.write_text("from thing import work\n\ndef test_a(benchmark):\n    benchmark(work)\n")
    sides = []
    for name, seconds in (("base", 0.001), ("head", 0.001), ("slow", 0.0015)):
        (tmp_path / name / "thing").mkdir(parents=True)
        (tmp_path / name / "thing" / "__init__.py").write_text(WORK.format(seconds=seconds))
        sides.append(Side(name, tmp_path / name))
    heard: list[GateTrial] = []

    def run(**wanted: int):
        return run_trials(
            (sides[0], sides[1]), sides[2], [bench],
            benchmark="bench_it.py::test_a", rule=TimingRule(threshold=0.2, launches=(4, 4), pairs=2),
            wanted={TrialSetting[name]: count for name, count in wanted.items()},
            journal=tmp_path / "journal.jsonl", root=tmp_path, budget_s=60, on_trial=heard.append,
        )  # fmt: skip

    run(SAME=1)
    assert read_journal(tmp_path / "journal.jsonl") == heard
    found = run(SAME=1, SLOWED=1)
    assert [(gate.setting, gate.outcome) for gate in heard] == [
        (TrialSetting.SAME, Outcome.PASSED),
        (TrialSetting.SLOWED, Outcome.REGRESSED),
    ]
    assert found.tallies["slowed"].outcomes == {"regressed": 1}


def test_busy_loops_end_with_their_gate():
    with busy_cores(True) as loops:
        assert len(loops) >= 1
        assert all(loop.poll() is None for loop in loops)
    assert all(loop.poll() is not None for loop in loops)
