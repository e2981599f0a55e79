"""Policies as users write them."""

import pytest

from warpgroup.csrc import PolicySpec, parse_policies, parse_policy, policy_catalogue
from warpgroup.errors import InvalidScenario, UnknownName


def test_a_list_is_split_at_the_commas_outside_parentheses():
    specs = parse_policies("count-static(n=32, timeout_s=2), paged,ffd(margin=0.01)")
    assert [str(spec) for spec in specs] == ["count-static(n=32, timeout_s=2)", "paged", "ffd(margin=0.01)"]


def test_parameters_reach_the_core():
    assert parse_policy("count-continuous(n=18)").build().max_requests == 18


def test_with_count_replaces_the_count_and_keeps_the_rest():
    spec = parse_policy("count-static(timeout_s=2, n=3)").with_count(7)
    assert spec == PolicySpec("count-static", (("n", 7.0), ("timeout_s", 2.0)))


def test_a_policy_counts_requests_if_its_n_sets_the_cap(monkeypatch):
    counting = {info.id for info in policy_catalogue() if PolicySpec(info.id).counts_requests}
    assert counting == {"count-static", "count-continuous"}
    uncapped = parse_policy("paged").build()
    monkeypatch.setattr(PolicySpec, "build", lambda _: uncapped)
    assert not PolicySpec("count-static").counts_requests  # its n has another meaning now


def test_values_are_the_given_ones_over_the_defaults():
    assert parse_policy("count-continuous(barrier=1)").values == {"n": 32, "barrier": 1}


def test_with_parameters_writes_only_what_changes():
    spec = parse_policy("ffd(margin=0.01)")
    assert spec.with_parameters(window=256, margin=0.01) == spec
    assert str(spec.with_parameters(window=1, margin=0.5)) == "ffd(margin=0.5, window=1)"


@pytest.mark.parametrize("info", policy_catalogue(), ids=lambda info: info.id)
def test_with_its_own_values_a_policy_is_the_same(info):
    spec = parse_policy(info.id)
    assert spec.with_parameters(**spec.values) == spec


def test_every_policy_of_the_catalogue_can_be_built_with_its_defaults():
    for info in policy_catalogue():
        parse_policy(info.id).build()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("pagd", UnknownName, "unknown policy 'pagd': did you mean 'paged'?"),
        ("ffd(n=3)", InvalidScenario, "policy 'ffd' has no parameter 'n': it takes margin, age_s"),
        ("ffd(margin=2)", InvalidScenario, "policy 'ffd': margin is 2, expected 0 to 1"),
        ("count-static(n=1.5)", InvalidScenario, "expected a whole number"),
        ("count-static(n=nan)", InvalidScenario, "'n=nan' is not of the form key=number"),
        ("count-static(n)", InvalidScenario, "'n' is not of the form key=number"),
        ("count-static(n=1, n=2)", InvalidScenario, "n is given twice"),
        ("count static", InvalidScenario, "is not of the form NAME"),
        (" , ", InvalidScenario, "no policy is named"),
        ("paged,paged", InvalidScenario, "policy 'paged' is named twice"),
    ],
)
def test_a_mistake_is_named(text, error, message):
    with pytest.raises(error) as caught:
        parse_policies(text)
    assert message in str(caught.value)


def test_switches_name_every_choice_of_a_policy():
    switches = parse_policy("sarathi(chunk=256)").build().switches()
    assert switches["batching"] == "continuous"
    assert switches["admission"] == "prompt-fits"
    assert switches["step_tokens"] == 256
    assert switches["overtake"] is False


def test_policies_differ_in_at_least_one_switch():
    switches = [tuple(parse_policy(info.id).build().switches().items()) for info in policy_catalogue()]
    assert len(set(switches)) == len(switches)


@pytest.mark.parametrize("info", policy_catalogue(), ids=lambda info: info.id)
def test_a_policy_says_when_it_admits_a_request(info):
    assert info.formula
    assert "\n" not in info.formula


def test_the_policy_of_an_engine_names_it():
    engines = {info.id: info.engine for info in policy_catalogue()}
    assert engines["paged"] == "vLLM V1"
    assert engines["skyline"] == ""
