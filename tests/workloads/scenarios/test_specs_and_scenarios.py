"""What ships: models, devices and scenarios."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warpgroup.cli.experiments import experiment_from
from warpgroup.cli.options import Options
from warpgroup.csrc import parse_policy
from warpgroup.errors import InvalidScenario, UnknownName
from warpgroup.experiment import geometry_of
from warpgroup.workloads import (
    GeneratorSpec,
    Scenario,
    device_names,
    load_device,
    load_model,
    load_scenario,
    model_names,
    parse_bytes,
    scenario_names,
)


@pytest.mark.parametrize(
    ("name", "parameters", "kv_bytes_per_token"),
    [
        ("llama-3.1-8b", 8_030_261_248, 131_072),
        ("llama-2-7b", 6_738_415_616, 524_288),
        ("llama-2-13b", 13_015_864_320, 819_200),
        ("qwen2.5-7b", 7_615_616_512, 57_344),
        ("qwen3-8b", 8_190_735_360, 147_456),
        ("mistral-7b", 7_248_023_552, 131_072),
    ],
)
def test_models_have_their_published_sizes(name, parameters, kv_bytes_per_token):
    geometry = geometry_of(load_model(name))
    assert (geometry.parameters, geometry.kv_bytes_per_token) == (parameters, kv_bytes_per_token)


def test_every_model_and_device_can_be_loaded_and_names_its_source():
    for spec in [*map(load_model, model_names()), *map(load_device, device_names())]:
        assert spec.source


def test_names_are_matched_without_case_and_suggested_when_wrong():
    assert load_device("RTX-4090").name == "rtx-4090"
    with pytest.raises(UnknownName, match="unknown device 'h20': did you mean 'h200'"):
        load_device("h20")
    with pytest.raises(UnknownName, match="known: llama-2-13b, "):
        load_model("zzzzzz")


@pytest.mark.parametrize("name", scenario_names())
def test_every_scenario_is_whole(name):
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.purpose
    assert not scenario.control or scenario.control in scenario_names()
    load_model(scenario.model)
    load_device(scenario.device)
    for policy in scenario.policies:
        parse_policy(policy)


def test_the_issues_scenarios_are_there():
    wanted = {"chat-24", "tight-24", "growth-24", "long-24", "reason-24", "control-141", "agent-141"}
    assert wanted <= set(scenario_names())


def test_agents_are_twelve_users_in_a_closed_loop():
    trace = experiment_from(Options(scenario="agent-141"))[0].trace
    assert len(trace) == 4_000
    assert (~trace.turns.waits).sum() == 12
    assert not trace.arrival_ns.any()
    pauses = trace.turns.think_ns[trace.turns.waits]
    assert 5e9 < np.median(pauses) < 20e9  # think time is kept


GOOD = """
name = "mine"
purpose = "to test"
model = "llama-3.1-8b"
device = "l4"
requests = 3
max_new_tokens = 10
[workload]
components = [{mixture = "bwb"}]
"""


def test_a_users_scenario_is_read_from_any_path(tmp_path):
    (tmp_path / "mine.toml").write_text(GOOD)
    assert load_scenario(str(tmp_path / "mine.toml")).workload.components[0].mixture == "bwb"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("requests = 3", "requests = 'three'"), "requests: Expected `int`, got `str`"),
        (("requests = 3", "requests = 0"), "requests: is 0, expected 1 or more, below 2^53"),
        (("requests = 3", ""), "top level: Object missing required field `requests`"),
        (("requests = 3", "requests = 3\nreqests = 4"), "unknown field `reqests`"),
        (("mixture", "mixtur"), "workload.components[0]: Object"),
        (("requests = 3", "requests = "), "is not TOML"),
    ],
)
def test_a_mistake_names_file_and_key(tmp_path, change, message):
    (tmp_path / "mine.toml").write_text(GOOD.replace(*change))
    with pytest.raises(InvalidScenario) as caught:
        load_scenario(str(tmp_path / "mine.toml"))
    assert message in str(caught.value)
    assert "mine.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


WHOLE = {
    "name": "mine",
    "purpose": "to test",
    "model": "llama-3.1-8b",
    "device": "l4",
    "control": "chat-24",
    "real_trace": "x.csv",
    "requests": 3,
    "max_new_tokens": 10,
    "kv_budget_tokens": 0,
    "vram": "12GiB",
    "arrivals": "poisson:2",
    "rate_scale": 1.0,
    "max_wait_s": 0.0,
    "seed": 0,
    "slo_ttft_s": 1.0,
    "slo_tpot_s": 0.1,
    "policies": ["ffd"],
    "workload.arrivals": "",
    "workload.components": [{"mixture": "bwb"}],
}


def toml(value):
    match value:
        case dict():
            return "{" + ", ".join(f"{toml(key)} = {toml(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case str():
            return '"' + "".join(f"\\U{ord(character):08x}" for character in value) + '"'
        case bool():
            return str(value).lower()
    return repr(value)


def written(folder, values):
    """A scenario file of these values."""
    path = folder / "mine.toml"
    path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in values.items()))
    return str(path)


def test_every_key_is_in_the_table(tmp_path):
    assert {key.partition(".")[0] for key in WHOLE} == set(Scenario.__struct_fields__)
    assert {key[9:] for key in WHOLE if "." in key} == set(GeneratorSpec.__struct_fields__)
    assert load_scenario(written(tmp_path, WHOLE)).vram == "12GiB"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        *[(key, True, "Expected") for key in WHOLE],
        ("name", " ", "expected text"),
        ("model", "nope", "unknown model 'nope': known: llama-2-13b"),
        ("model", "./nope", "it has no config.json"),
        ("model", "a\nb", "unknown model"),
        ("model", "a\0/b", "null byte"),
        ("device", "nope", "unknown device 'nope': known: "),
        ("control", "nope", "no such file, and unknown scenario 'nope'"),
        ("control", "n" * 300, "control: "),
        ("arrivals", "foo", "expected trace, at-zero, users"),
        ("arrivals", "poisson:-3", "expected a positive number"),
        ("arrivals", "users:0", "expected at least 1"),
        ("arrivals", "users:2:nan", "expected at least 1"),
        ("vram", "12 parsecs", "expected a number with GiB"),
        ("vram", "9" * 400, "expected a number with GiB"),
        *[
            (key, value, "expected 1 or more, below 2^53")
            for key in ("requests", "max_new_tokens")
            for value in (0, -1, 2**53)
        ],
        *[(key, -5, "expected 0 or more, below 2^53") for key in ("kv_budget_tokens", "seed")],
        *[
            (key, value, "expected a positive number")
            for key in ("rate_scale", "slo_ttft_s", "slo_tpot_s")
            for value in (0.0, -1.0, float("nan"), float("inf"))
        ],
        *[("max_wait_s", value, "expected a number of 0 or more") for value in (-1.0, float("nan"), float("inf"))],
        ("policies", [], "is empty"),
        ("policies", [""], "is empty"),
        ("workload.arrivals", "trace", "expected trace"),
        ("workload.components", [], "is empty, expected at least one"),
        ("workload.components", [{"mixture": "claude-code"}, {"mixture": "bwb"}], "cannot be mixed"),
        ("workload.components", [{"mixture": "nope"}], "[0].mixture: unknown mixture 'nope'"),
        ("workload.components", [{"mixture": "bwb"}, {"mixture": "bwb", "share": -2}], "[1].share: is -2"),
        ("workload.components", [{"mixture": "bwb", "max_prompt_tokens": -1}], "[0].max_prompt_tokens: is -1"),
    ],
)
def test_a_damaged_value_names_file_and_key(tmp_path, key, value, expected):
    path = written(tmp_path, {**WHOLE, key: value})
    with pytest.raises(InvalidScenario) as caught:
        load_scenario(path)
    message = str(caught.value)
    assert message.startswith(f"scenario {path}: {key}")
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kv_budget_tokens": 5}, "vram: contradicts kv_budget_tokens"),
        ({"arrivals": "users:8", "rate_scale": 2.0}, "rate_scale: is 2, expected 1"),
    ],
)
def test_keys_that_contradict_each_other(tmp_path, values, message):
    with pytest.raises(InvalidScenario, match=message):
        load_scenario(written(tmp_path, {**WHOLE, **values}))


def test_a_control_may_be_a_file_beside_the_scenario(tmp_path):
    assert load_scenario(written(tmp_path, {**WHOLE, "control": "mine.toml"})).control == "mine.toml"


def test_policies_are_read_before_a_run(tmp_path):
    path = written(tmp_path, {**WHOLE, "policies": ["nope"]})
    with pytest.raises(InvalidScenario, match=f"scenario {path}: policies: unknown policy 'nope'"):
        experiment_from(Options(scenario=path))


PLAIN = st.one_of(st.text(), st.integers(-(2**70), 2**70), st.floats(), st.booleans())


@settings(max_examples=150, deadline=None)
@given(
    key=st.sampled_from(sorted(WHOLE)),
    value=st.one_of(
        PLAIN, st.lists(PLAIN), st.dictionaries(st.text(min_size=1), PLAIN), st.sampled_from([[], {}, ["ffd"]])
    ),
)
def test_any_value_is_taken_or_refused_by_its_key(tmp_path_factory, key, value):
    path = written(tmp_path_factory.getbasetemp(), {**WHOLE, key: value})
    try:
        load_scenario(path)
    except InvalidScenario as error:
        message = str(error)
    else:
        return
    assert message.startswith(f"scenario {path}: ")
    assert key in message


def test_a_scenario_that_is_not_there(tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'chat-24'"):
        load_scenario("chat-42")
    with pytest.raises(InvalidScenario, match="cannot read scenario"):
        load_scenario(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24GiB", 24 * 2**30),
        ("512 MiB", 2**29),
        ("80GB", 80 * 10**9),
        ("1.5gib", 3 * 2**29),
        ("7B", 7),
        ("1048576", 2**20),
    ],
)
def test_sizes(text, size):
    assert parse_bytes(text) == size


def test_a_size_without_its_unit():
    with pytest.raises(InvalidScenario, match="size '24': give a unit, such as 24GiB"):
        parse_bytes("24")


@pytest.mark.parametrize("text", ["", "GiB", "-1GiB", "24 GX", "0", "1e9", "9" * 400])
def test_sizes_that_are_none(text):
    with pytest.raises(InvalidScenario, match="expected a number with GiB"):
        parse_bytes(text)
