"""From the baseline to the winner, one switch at a time."""

import re
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.experiments import experiment

from warpgroup.csrc import PolicySpec, parse_policy, policy_catalogue
from warpgroup.errors import InvalidScenario, NoAblation
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
    assert steps[-1].policy == winner


@given(winner=winners())
def test_every_step_is_another_policy_by_another_switch(winner):
    steps = ablation_steps(winner, BASELINE, MAX_SEQS)
    policies = [(step.policy.id, tuple(sorted(step.policy.values.items()))) for step in steps]
    assert len(set(policies)) == len(steps)
    assert len({step.switch for step in steps}) == len(steps)
    for step in steps:
        step.policy.build()


SWITCHES = [{"order"}, {"window"}, {"chunk"}, {"swap_gib"}]


@given(winner=winners("skyline"))
def test_between_two_steps_of_skyline_one_switch_is_turned(winner):
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
        ("growth-aware admission + eviction of the cheapest", "skyline(window=1, chunk=0, swap_gib=0)"),
        ("smaller requests may overtake", "skyline(chunk=0, swap_gib=0)"),
        ("smaller prefill chunks", "skyline(swap_gib=0)"),
        ("eviction to host memory", "skyline"),
    ]


def test_what_the_winner_does_not_do_is_no_step():
    assert steps_to("skyline(swap_gib=0, chunk=0, order=1)")[5:] == [
        ("growth-aware admission + eviction of the cheapest", "skyline(swap_gib=0, chunk=0, order=0, window=1)"),
        ("smaller requests may overtake", "skyline(swap_gib=0, chunk=0, order=0)"),
        ("longest first", "skyline(swap_gib=0, chunk=0, order=1)"),
    ]


def test_an_eager_skyline_is_not_credited_with_growth_awareness():
    assert switches_to("skyline(eager=1)")[5] == "eviction of the cheapest"


def test_ffd_is_credited_with_its_order_alone():
    assert steps_to("ffd(margin=0.01)")[4:] == [
        ("memory-aware", "paged"),
        ("growth-aware admission", "first-fit(margin=0.01, window=1)"),
        ("smaller requests may overtake", "first-fit(margin=0.01)"),
        ("longest first", "ffd(margin=0.01)"),
    ]


@pytest.mark.parametrize(
    ("winner", "beyond"),
    [
        ("paged", []),
        ("sarathi", ["watermark 1 % + smaller prefill chunks + decodes before prefills"]),
        ("sarathi(watermark=0)", ["smaller prefill chunks + decodes before prefills"]),
        ("first-fit", ["growth-aware admission", "smaller requests may overtake"]),
        ("past-future", ["growth-aware admission"]),
        (
            "token-ratio",
            ["growth-aware admission + eviction of the least output + prefill in steps of its own"],
        ),
        ("mc-sf", ["growth-aware admission + shortest first"]),
        ("sorted-f", ["growth-aware admission + smallest first"]),
        ("no-evict", ["reservation of max_new_tokens"]),
        (
            "token-budget",
            ["reservation of max_new_tokens", "blocks taken at admission + prefill in steps of its own"],
        ),
        ("orca", ["reservation of the longest"]),
    ],
)
def test_a_policy_that_sees_memory_has_beyond_paged_what_it_does(winner, beyond):
    assert switches_to(winner) == [*BEFORE_MEMORY, "memory-aware", *beyond]


def test_a_winner_that_is_paged_with_a_watermark_is_the_memory_aware_step():
    assert steps_to("paged(watermark=0.1)")[-1] == ("memory-aware", "paged(watermark=0.1)")


@pytest.mark.parametrize(
    ("winner", "switches"),
    [
        ("count-static(n=6)", ["baseline"]),
        ("count-static(n=9)", ["baseline", "another count"]),
        ("count-static(n=6, timeout_s=9)", ["baseline", "timeout 9 s"]),
        ("count-static(n=9, timeout_s=9)", ["baseline", "another count", "timeout 9 s"]),
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


def test_every_step_is_a_run_of_its_policy_and_says_its_switch(made, simulated):
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


def test_an_ablation_is_removed_and_other_runs_are_kept(made, tmp_path):
    run = simulate(made, "paged")
    write_run(tmp_path / "mine", run)
    run.info.switch = "memory-aware"
    write_run(tmp_path / "04-paged", run)
    remove_ablation(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    remove_ablation(tmp_path / "nothing there")


def steps_with(policy: str, changed: dict[str, str | int | bool], monkeypatch) -> list[tuple[str, str]]:
    """The steps to that policy if the catalogue's policy of this id had other values of some switches."""
    winner = parse_policy(policy)
    build = PolicySpec.build

    def build_changed(each):
        built = build(each)
        if each.id != winner.id:
            return built
        switches = built.switches() | changed
        return SimpleNamespace(sees_lengths=False, max_requests=switches["max_requests"], switches=lambda: switches)

    monkeypatch.setattr(PolicySpec, "build", build_changed)
    return [(step.switch, str(step.policy)) for step in ablation_steps(winner, BASELINE, MAX_SEQS)]


@pytest.mark.parametrize(
    ("policy", "changed", "message"),
    [
        ("skyline", {"speculation": 4}, "in speculation, which the table in sim/ablation.py does not have"),
        ("skyline", {"admission": "psychic"}, "admission 'psychic, max-new-tokens' has no name in sim/ablation.py"),
        ("paged", {"promise": "hoped"}, "admission 'prompt-fits, hoped' has no name in sim/ablation.py"),
        ("ffd-static", {"promise": "hoped"}, "admission of bins 'peak-reserved, hoped' has no name"),
        ("skyline", {"victim": "loudest"}, "victim 'loudest' has no name in sim/ablation.py"),
        ("paged", {"mixing": "shaken"}, "mixing 'shaken' has no name in sim/ablation.py"),
        ("paged", {"order": "random-first"}, "order 'random-first' has no name in sim/ablation.py"),
        ("first-fit", {"order": "random-first"}, "order 'random-first' has no name in sim/ablation.py"),
        ("count-continuous(n=9)", {"order": "random-first"}, "order 'random-first' has no name"),
        ("skyline", {"batching": "waves"}, "has batching 'waves', not 'continuous': add the way there to sim/"),
    ],
)
def test_a_switch_or_a_value_that_the_table_does_not_have_is_an_error(policy, changed, message, monkeypatch):
    with pytest.raises(NoAblation, match=re.escape(message)):
        steps_with(policy, changed, monkeypatch)


@pytest.mark.parametrize(
    ("policy", "changed", "last"),
    [
        ("past-future", {"order": "longest-first"}, "growth-aware admission + longest first"),
        ("orca", {"holds_promise": True}, "reservation of the longest + blocks taken at admission"),
        ("ffd-static", {"order": "shortest-first"}, "bins of promised memory + shortest first"),
        ("no-evict", {"overtake": True}, "reservation of max_new_tokens + smaller requests may overtake"),
        ("paged", {"holds_promise": True}, "memory-aware + blocks taken at admission"),
        ("mc-sf", {"window": 8}, "growth-aware admission + shortest first"),
        ("no-evict", {"watermark_ppm": 500_000}, "reservation of max_new_tokens"),
    ],
)
def test_the_last_step_is_credited_to_every_switch_that_it_turns(policy, changed, last, monkeypatch):
    steps = steps_with(policy, changed, monkeypatch)
    assert steps[-1] == (last, policy)


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"watermark_ppm": 500_000}, "watermark 50 %"),
        ({"ratio_ppm": 700_000}, "token ratio 70 %"),
    ],
)
def test_a_quantity_that_changes_without_its_switch_has_a_name(changed, name, monkeypatch):
    """The admission itself is that of `paged`, which the ablation passes."""
    steps = steps_with("sarathi(watermark=0)", changed, monkeypatch)
    assert steps[-2] == ("memory-aware", "paged")
    assert steps[-1][0] == f"{name} + smaller prefill chunks + decodes before prefills"


def test_a_quantity_without_effect_is_no_step(monkeypatch):
    expected = steps_to("paged")
    assert steps_with("paged", {"overflow_ppm": 5, "age_ns": 1, "timeout_ns": 1, "window": 8}, monkeypatch) == expected


def catalogue_with(monkeypatch, policy: str, **changed: object) -> None:
    """The catalogue, with these fields of a parameter changed: {parameter: {field: value}}."""

    def parameter_of(each):
        fields = {name: getattr(each, name) for name in ("name", "default", "lowest", "highest", "whole")}
        return SimpleNamespace(**fields | changed.get(each.name, {}))

    infos = [
        SimpleNamespace(id=info.id, parameters=[parameter_of(each) for each in info.parameters])
        if info.id == policy
        else info
        for info in policy_catalogue()
    ]
    monkeypatch.setattr("warpgroup.sim.ablation.policy_catalogue", lambda: infos)


def test_a_relative_that_does_not_accept_the_winners_value_is_left_out(monkeypatch):
    """Here `first-fit` accepts a smaller range of margins than `ffd`."""
    build = PolicySpec.build

    def refusing(policy):
        if policy.id == "first-fit":
            raise InvalidScenario("policy 'first-fit': margin is 0.8, expected 0 to 0.5")
        return build(policy)

    monkeypatch.setattr(PolicySpec, "build", refusing)
    assert steps_to("ffd(margin=0.8)")[4:] == [
        ("memory-aware", "paged"),
        ("growth-aware admission + smaller requests may overtake + longest first", "ffd(margin=0.8)"),
    ]


def test_a_count_that_no_policy_accepts_is_joined_with_the_next_switch():
    steps = ablation_steps(parse_policy("paged"), BASELINE, 2_000_000)
    assert steps[-1].switch == "count cap removed + memory-aware"


def test_only_a_whole_parameter_from_0_to_1_is_a_flag(monkeypatch):
    catalogue_with(monkeypatch, "count-continuous", barrier={"whole": False})
    assert switches_to("orca")[:2] == ["baseline", "padding removed + batch barrier removed"]


def test_common_steps_have_their_count_in_their_text():
    """The text names the run's folder, also if the count is the default."""
    steps = ablation_steps(parse_policy("paged"), parse_policy("count-static(n=32)"), MAX_SEQS)
    assert [str(step.policy) for step in steps[1:3]] == ["count-continuous(n=32, barrier=1)", "count-continuous(n=32)"]
