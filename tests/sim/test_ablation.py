"""From the baseline to the winner, one switch at a time."""

import re
from itertools import pairwise
from types import SimpleNamespace
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.experiments import experiment

from warpgroup.csrc import PolicySpec, parse_policy, policy_catalogue
from warpgroup.errors import NoAblation
from warpgroup.records import read_run, write_run
from warpgroup.sim import ablation_steps, remove_ablation, run_ablation, simulate

BASELINE = parse_policy("count-static(n=6)")
MAX_SEQS = 64
BEFORE_MEMORY = ["baseline", "padding removed", "batch barrier removed", "count cap removed"]


def steps_to(winner: str) -> list[tuple[str, str]]:
    return [(step.switch, str(step.policy)) for step in ablation_steps(parse_policy(winner), BASELINE, MAX_SEQS)]


def switches_to(winner: str) -> list[str]:
    return [switch for switch, _ in steps_to(winner)]


@st.composite
def winners(draw, policy: str = "") -> PolicySpec:
    """That policy, or any, with any of its parameters given, but for those that see true lengths."""
    infos = [info for info in policy_catalogue() if info.id != "oracle" and policy in ("", info.id)]
    info = draw(st.sampled_from(infos))
    given_values = {
        parameter.name: draw(
            st.sampled_from([parameter.default, parameter.lowest, min(parameter.lowest + 1, parameter.highest)])
        )
        for parameter in info.parameters
        if parameter.name != "lengths" and draw(st.booleans())
    }
    return PolicySpec(info.id, tuple(given_values.items()))


@given(winner=winners())
def test_an_ablation_begins_with_the_baseline_and_ends_with_the_winner_as_it_was_written(winner):
    steps = ablation_steps(winner, BASELINE, MAX_SEQS)
    assert (steps[0].switch, steps[0].policy) == ("baseline", BASELINE)
    assert steps[-1].policy == (BASELINE if winner.id == "count-static" else winner)


@given(winner=winners())
def test_every_rung_is_another_policy_by_another_switch(winner):
    steps = ablation_steps(winner, BASELINE, MAX_SEQS)
    policies = [(step.policy.id, tuple(sorted(step.policy.values.items()))) for step in steps]
    assert len(set(policies)) == len(steps)
    assert len({step.switch for step in steps}) == len(steps)
    for step in steps:
        step.policy.build()


SWITCHES = [{"order", "window"}, {"chunk"}, {"swap_gib"}]


@given(winner=winners("skyline"))
def test_between_two_rungs_of_skyline_one_switch_is_turned(winner):
    steps = [step.policy.values for step in ablation_steps(winner, BASELINE, MAX_SEQS) if step.policy.id == "skyline"]
    for before, after in pairwise(steps):
        turned = {name for name in after if after[name] != before[name]}
        assert any(turned <= switch for switch in SWITCHES)


def test_the_ablation_of_skyline():
    assert steps_to("skyline") == [
        ("baseline", "count-static(n=6)"),
        ("padding removed", "count-continuous(n=6, barrier=1)"),
        ("batch barrier removed", "count-continuous(n=6)"),
        ("count cap removed", "count-continuous(n=64)"),
        ("memory-aware", "paged"),
        ("growth-aware admission", "skyline(window=1, chunk=0, swap_gib=0)"),
        ("order", "skyline(chunk=0, swap_gib=0)"),
        ("smaller prefill chunks", "skyline(swap_gib=0)"),
        ("eviction to host memory", "skyline"),
    ]


def test_what_the_winner_does_not_do_is_no_rung():
    assert steps_to("skyline(swap_gib=0, chunk=0, order=1)")[5:] == [
        ("growth-aware admission", "skyline(swap_gib=0, chunk=0, order=0, window=1)"),
        ("order", "skyline(swap_gib=0, chunk=0, order=1)"),
    ]


def test_an_eager_skyline_is_not_credited_with_growth_awareness():
    assert switches_to("skyline(eager=1)")[5] == "eviction of the cheapest"


def test_ffd_is_credited_with_its_order_alone():
    assert steps_to("ffd(margin=0.01)")[4:] == [
        ("memory-aware", "paged"),
        ("growth-aware admission", "first-fit(margin=0.01, window=1)"),
        ("passing over who does not fit", "first-fit(margin=0.01)"),
        ("longest first", "ffd(margin=0.01)"),
    ]


@pytest.mark.parametrize(
    ("winner", "beyond"),
    [
        ("paged", []),
        ("sarathi", ["smaller prefill chunks"]),
        ("first-fit", ["growth-aware admission", "passing over who does not fit"]),
        ("past-future", ["growth-aware admission"]),
        ("token-ratio", ["growth-aware admission"]),
        ("mc-sf", ["growth-aware admission"]),
        ("no-evict", ["reservation of max_new_tokens"]),
        ("token-budget", ["reservation of max_new_tokens"]),
        ("orca", ["reservation of the longest"]),
    ],
)
def test_a_policy_that_sees_memory_has_beyond_paged_what_it_does(winner, beyond):
    assert switches_to(winner) == [*BEFORE_MEMORY, "memory-aware", *beyond]


def test_a_winner_that_is_paged_with_a_watermark_is_the_memory_aware_rung():
    assert steps_to("paged(watermark=0.1)")[-1] == ("memory-aware", "paged(watermark=0.1)")


@pytest.mark.parametrize(
    ("winner", "switches"),
    [
        ("count-static(n=9)", ["baseline"]),
        ("count-continuous(n=6)", ["baseline", "padding removed", "batch barrier removed"]),
        ("count-continuous(n=9)", ["baseline", "padding removed", "batch barrier removed", "another count"]),
        ("count-continuous(n=9, barrier=1)", ["baseline", "padding removed", "another count"]),
        ("ffd-static", ["baseline", "padding removed", "bins of promised memory"]),
    ],
)
def test_a_winner_without_memory_or_without_iterations_has_a_short_ablation(winner, switches):
    assert switches_to(winner) == switches


def test_a_cap_that_is_the_engines_own_is_not_removed():
    steps = ablation_steps(parse_policy("paged"), parse_policy("count-static(n=64)"), MAX_SEQS)
    assert [step.switch for step in steps] == ["baseline", "padding removed", "batch barrier removed", "memory-aware"]


@pytest.mark.parametrize("policy", ["oracle", "mc-sf(lengths=1)"])
def test_an_upper_bound_is_no_winner(policy):
    with pytest.raises(NoAblation, match="upper bound"):
        steps_to(policy)


@pytest.fixture(scope="module")
def made():
    return experiment([(i * 2_000_000, 20 + i % 90, 1 + i % 37) for i in range(60)], kv_blocks=40)


@pytest.fixture(scope="module")
def simulated(made, tmp_path_factory):
    """An ablation one run of which existed already, in a folder that holds a run of an earlier ablation."""
    folder = tmp_path_factory.mktemp("attribution")
    steps = ablation_steps(parse_policy("skyline"), BASELINE, made.max_seqs)
    existing = simulate(made, "paged", note="existed already")
    write_run(folder / "paged", existing)
    existing.info.switch = "memory-aware"
    write_run(folder / "attribution" / "01-paged", existing)
    run_ablation(
        made, steps, folder / "attribution", reuse={"paged": folder / "paged"}, workers=1, command="warpgroup compare"
    )
    return steps, folder


def test_every_rung_is_a_run_of_its_policy_and_says_its_switch(made, simulated):
    steps, folder = simulated
    runs = [read_run(path) for path in sorted((folder / "attribution").iterdir())]
    assert [(run.info.switch, run.info.policy) for run in runs] == [(step.switch, str(step.policy)) for step in steps]
    for run, step in zip(runs, steps, strict=True):
        assert run.info.complete
        assert run.info.plan_hash == simulate(made, step.policy).info.plan_hash


def test_a_run_that_is_there_is_not_made_again_and_stays_as_it_is(simulated):
    _, folder = simulated
    again = read_run(folder / "attribution" / "04-paged").info
    assert (again.note, again.switch) == ("existed already", "memory-aware")
    assert read_run(folder / "paged").info.switch == ""


def test_a_ladder_is_taken_down_and_what_is_no_rung_stays(made, tmp_path):
    run = simulate(made, "paged")
    write_run(tmp_path / "mine", run)
    run.info.switch = "memory-aware"
    write_run(tmp_path / "04-paged", run)
    remove_ablation(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    remove_ablation(tmp_path / "nothing there")


class PolicyWith(PolicySpec):
    """A policy with other values of some switches."""

    changed: ClassVar[dict[str, str | int | bool]] = {}

    def build(self):
        policy = super().build()
        return SimpleNamespace(sees_lengths=False, switches=lambda: policy.switches() | self.changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"speculation": 4},
            "in speculation, which the table in sim/ablation.py does not have",
        ),
        ({"admission": "psychic"}, "admission 'psychic' with promise 'max-new-tokens' has no name in sim/ablation.py"),
        ({"victim": "loudest"}, "victim 'loudest' has no name in sim/ablation.py"),
        ({"batching": "waves"}, "has batching 'waves', not 'continuous': add the way there to sim/ablation.py"),
    ],
)
def test_a_switch_or_a_value_that_the_table_does_not_have_is_an_error(changed, message, monkeypatch):
    monkeypatch.setattr(PolicyWith, "changed", changed)
    with pytest.raises(NoAblation, match=re.escape(message)):
        ablation_steps(PolicyWith("skyline"), BASELINE, MAX_SEQS)
