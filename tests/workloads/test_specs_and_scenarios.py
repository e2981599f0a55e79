"""What ships: models, devices and scenarios."""

import numpy as np
import pytest

from warpgroup.csrc import parse_policy
from warpgroup.errors import InvalidScenario, UnknownName
from warpgroup.experiment import geometry_of
from warpgroup.options import Options, experiment_from
from warpgroup.workloads import (
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
        (("requests = 3", "requests = 0"), "requests: is 0, expected more than 0"),
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


def test_a_scenario_that_is_not_there(tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'chat-24'"):
        load_scenario("chat-42")
    with pytest.raises(InvalidScenario, match="cannot read scenario"):
        load_scenario(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("text", "size"), [("24GiB", 24 * 2**30), ("512 MiB", 2**29), ("80GB", 80 * 10**9), ("1.5gib", 3 * 2**29), ("7", 7)]
)
def test_sizes(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1GiB", "24 GX", "0", "1e9"])
def test_sizes_that_are_none(text):
    with pytest.raises(InvalidScenario, match="expected a number with GiB"):
        parse_bytes(text)
