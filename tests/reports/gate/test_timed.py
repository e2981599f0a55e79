"""The decisions of the timed class: on recorded noise, and on invented samples.

`noise.json.gz` holds real launches of a program against itself, and says how they were recorded.
"""

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from warpgroup.reports.gate.broken import Broken
from warpgroup.reports.gate.classes.timed.decision import TimingRule, decide
from warpgroup.reports.gate.classes.timed.detectable import detectable_slowdowns
from warpgroup.reports.gate.classes.timed.pairs import Launch, LaunchProblem
from warpgroup.reports.gate.result import Check, Outcome

RULE = TimingRule(threshold=0.025)
NOISE = json.loads(gzip.decompress(Path(__file__).with_name("noise.json.gz").read_bytes()))
CASES = {name: np.array(case, dtype=np.float32) for name, case in NOISE["samples_us"].items()}


class Replayed:
    """Launches drawn from recorded ones, the sides swapped at random; head slowed down."""

    def __init__(self, seed: int, slower: float = 0.0) -> None:
        self.rng = np.random.default_rng(seed)
        self.slower = slower
        self.asked: list[tuple[list[str], int]] = []

    def __call__(self, names: Sequence[str], count: int) -> Iterator[Launch]:
        self.asked.append((list(names), count))
        return (Launch({name: self.sample(name) for name in names}) for _ in range(count))

    def sample(self, name: str) -> tuple[list[float], list[float]]:
        case = CASES[name]  # (launches, side, samples)
        base, head = case[self.rng.integers(len(case))][:: self.rng.choice([-1, 1])]
        return base.tolist(), (head * (1 + self.slower)).tolist()


def outcomes(gates: int, slower: float) -> list[Outcome]:
    """Of gates of one benchmark each, the recorded cases in turn."""
    names = list(CASES)
    found = []
    for seed in range(gates):
        (check,) = decide(Replayed(seed, slower), [names[seed % len(names)]], RULE, budget_s=1e9)
        found.append(check.outcome)
    return found


def test_of_2000_gates_without_a_change_one_percent_at_most_raise_an_alarm_and_most_pass():
    found = outcomes(2000, 0.0)
    assert found.count(Outcome.REGRESSED) <= 20
    assert found.count(Outcome.PASSED) >= 1900


def test_a_slow_down_of_5_percent_is_found_in_99_of_100():
    assert outcomes(400, 0.05).count(Outcome.REGRESSED) >= 396


def test_a_slow_down_of_2_percent_is_flagged_in_20_of_100_at_most():
    assert outcomes(400, 0.02).count(Outcome.REGRESSED) <= 80


def test_what_can_be_detected_is_below_what_has_to_be():
    launches = [Launch({name: (case[i][0], case[i][1]) for name, case in CASES.items()}) for i in range(150)]
    found = detectable_slowdowns(launches, RULE)
    assert found.keys() == CASES.keys()
    assert all(0.001 < share < 0.05 for share in found.values())


class Scripted:
    """Launches of calm samples whose head is slower by as much as the script says, round by round."""

    def __init__(self, *slower: float, spread: float = 0.001, broken: dict[str, LaunchProblem] | None = None) -> None:
        self.slower = [*slower]
        self.spread = spread
        self.broken = broken or {}
        self.rng = np.random.default_rng(0)
        self.made = 0
        self.asked: list[tuple[list[str], int]] = []

    def __call__(self, names: Sequence[str], count: int) -> Iterator[Launch]:
        self.asked.append((list(names), count))
        slower = self.slower.pop(0) if len(self.slower) > 1 else self.slower[0]
        for _ in range(count):
            self.made += 1
            base, head = np.exp(self.rng.normal(0, self.spread, (2, 12))).tolist()
            sides = (base, [sample * (1 + slower) for sample in head])
            yield Launch({name: sides for name in names if name not in self.broken}, self.broken)


def decided(source: Scripted, *names: str, rule: TimingRule = RULE, **given: object) -> list[Check]:
    return decide(source, names or ["a"], rule, **{"budget_s": 1e9, **given})


def test_an_unchanged_benchmark_passes_at_the_first_look():
    source = Scripted(0.0)
    (check,) = decided(source)
    assert (check.kind, check.outcome, check.threshold) == ("timed", Outcome.PASSED, 0.025)
    assert source.asked == [(["a"], 16)]
    assert check.interval[0] < check.change < check.interval[1] < 0.025
    assert check.base == pytest.approx(1, abs=0.01)


def test_a_slower_one_is_looked_at_again_before_it_is_called_a_regression():
    source = Scripted(0.1)
    (check,) = decided(source)
    assert check.outcome is Outcome.REGRESSED
    assert source.asked == [(["a"], 16), (["a"], 16)]
    assert check.detail == "16 launches showed +10.0%, 16 more to confirm it, adjusted p 0.0005"


@pytest.mark.parametrize(("again", "outcome"), [(0.0, Outcome.PASSED), (0.025, Outcome.INCONCLUSIVE)])
def test_what_is_not_slower_again_is_no_regression(again, outcome):
    assert decided(Scripted(0.1, again))[0].outcome is outcome


def test_a_faster_one_passes():
    assert decided(Scripted(-0.2))[0].outcome is Outcome.PASSED


def test_undecided_ones_get_more_launches_and_then_no_verdict():
    source = Scripted(0.025, spread=0.02)
    (check,) = decided(source)
    assert check.outcome is Outcome.INCONCLUSIVE
    assert [count for _, count in source.asked] == [16, 8, 8, 8, 8, 8, 8]


def test_launches_are_only_for_those_that_are_undecided():
    source = Scripted(0.025)
    decided(source, "strict", "lax", rule=TimingRule(thresholds={"lax": 0.5}))
    assert source.asked[:2] == [(["strict", "lax"], 16), (["strict"], 8)]


def test_a_threshold_of_its_own_counts():
    tight, usual = decided(Scripted(0.02), "tight", "usual", rule=TimingRule(thresholds={"tight": 0.01}))
    assert (tight.outcome, usual.outcome) == (Outcome.REGRESSED, Outcome.PASSED)


def test_a_broken_benchmark_is_no_pass_and_stops_no_other():
    problem = LaunchProblem("head: failed in call: ValueError", ("head",))
    broken, fine = decided(Scripted(0.0, broken={"a": problem}), "a", "b")
    assert (broken.outcome, broken.detail, broken.failed_sides) == (Outcome.BROKEN, problem.text, ("head",))
    assert fine.outcome is Outcome.PASSED


def test_a_benchmark_that_launches_leave_out_is_broken():
    def forgetful(names: Sequence[str], count: int) -> list[Launch]:
        return [Launch()] * count

    (check,) = decide(forgetful, ["a"], RULE, budget_s=1e9)
    assert (check.outcome, check.detail) == (Outcome.BROKEN, "a launch did not measure it")


@pytest.mark.parametrize(("clock", "metric"), [("thread", "CPU time"), ("process", "CPU time"), ("cuda", "GPU time")])
@pytest.mark.parametrize("slower", [0.0, 0.1])
def test_the_metric_says_whose_time_it_is(clock, metric, slower):
    def source(names: Sequence[str], count: int) -> Iterator[Launch]:
        return (replace(launch, clocks={"a": clock}) for launch in Scripted(slower)(names, count))

    (check,) = decide(source, ["a"], RULE, budget_s=1e9)
    assert (check.metric, check.id) == (f"{metric}, s a call", f"timed:a:{metric}, s a call")


def test_where_all_are_broken_nothing_more_is_launched():
    made = []

    def launches(names: Sequence[str], count: int) -> Iterator[Launch]:
        for _ in range(count):
            made.append(names)
            yield Launch(broken={"a": LaunchProblem("it died")})

    (check,) = decide(launches, ["a"], RULE, budget_s=1e9)
    assert check.outcome is Outcome.BROKEN
    assert len(made) == 1


def test_a_broken_benchmark_has_its_metric_too():
    launches = [Launch(broken={"a": LaunchProblem("no GPU")}, clocks={"a": "cuda"})] * 16
    (check,) = decide(lambda names, count: launches, ["a"], RULE, budget_s=1e9)
    assert (check.outcome, check.metric) == (Outcome.BROKEN, "GPU time, s a call")


def test_a_harness_that_fails_breaks_all():
    def failing(names: Sequence[str], count: int) -> Iterator[Launch]:
        raise Broken("base died with code 1: no module named pytest")
        yield

    checks = decide(failing, ["a", "b"], RULE, budget_s=1e9)
    assert [check.outcome for check in checks] == [Outcome.BROKEN, Outcome.BROKEN]
    assert checks[0].detail == "base died with code 1: no module named pytest"


def test_time_that_is_up_leaves_the_rest_inconclusive():
    source = Scripted(0.0)
    (check,) = decided(source, budget_s=6, clock=lambda: source.made * 1.0)
    assert (check.outcome, source.made) == (Outcome.INCONCLUSIVE, 7)
    assert check.detail == "7 launches, too little time to decide: raise the budget"


def test_without_a_slower_one_the_first_round_has_all_the_time():
    source = Scripted(0.025)
    (check,) = decided(source, budget_s=30, clock=lambda: source.made * 1.0)
    assert (check.outcome, source.made) == (Outcome.INCONCLUSIVE, 31)


def test_the_first_round_leaves_time_to_confirm_what_is_slower():
    """The undecided one would take all of it."""
    rng = np.random.default_rng(0)
    made = []

    def source(names: Sequence[str], count: int) -> Iterator[Launch]:
        for _ in range(count):
            made.append(names)
            samples = np.exp(rng.normal(0, 0.001, (2, 12)))
            slower = {"slow": 1.1, "between": 1.025}
            yield Launch({name: (samples[0].tolist(), (samples[1] * slower[name]).tolist()) for name in names})

    slow, between = decide(source, ["slow", "between"], RULE, budget_s=60, clock=lambda: float(len(made)))
    assert (slow.outcome, between.outcome) == (Outcome.REGRESSED, Outcome.INCONCLUSIVE)
    assert [len(made), made.count(["slow"])] == [37 + 16, 16]
