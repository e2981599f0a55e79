"""Records of older versions are read in today's form."""

import msgspec
import pytest
from support.experiments import experiment

from warpgroup.records import read_info, write_run
from warpgroup.records.metrics import summary_of
from warpgroup.records.run import SCHEMA
from warpgroup.records.upgrade import upgrade_run, upgrade_sweep
from warpgroup.sim import simulate


@pytest.fixture
def folder(tmp_path):
    """A run of schema 1: one request keeps the SLO, the other can never fit."""
    run = simulate(experiment([(0, 10, 1), (0, 5000, 5)], kv_blocks=30), "paged")
    write_run(tmp_path, run)
    content = msgspec.json.decode((tmp_path / "run.json").read_bytes())
    del content["summary"]["attainment"], content["scenario"]["recorded_times"]
    content["schema"] = 1
    (tmp_path / "run.json").write_bytes(msgspec.json.encode(content))
    return tmp_path


def changed(folder, **scenario) -> None:
    content = msgspec.json.decode((folder / "run.json").read_bytes())
    content["scenario"] |= scenario
    (folder / "run.json").write_bytes(msgspec.json.encode(content))


def test_attainment_is_computed_if_the_record_lacks_it(folder):
    assert summary_of(read_info(folder)).attainment == 0.5


def test_the_prefix_of_a_parity_check_becomes_a_field(folder):
    assert not read_info(folder).is_parity_check
    changed(folder, step_time="as recorded: NVIDIA H200")
    info = read_info(folder)
    assert (info.scenario.step_time, info.is_parity_check, info.schema) == ("NVIDIA H200", True, SCHEMA)


def test_a_sweep_gets_its_attainment():
    summary = {"goodput_req_s": 0.5, "makespan_s": 10, "requests": 20}
    content = upgrade_sweep({"policies": [{"points": [{"summary": summary}]}]})
    assert content["policies"][0]["points"][0]["summary"]["attainment"] == 0.25


@pytest.mark.parametrize("content", [None, [], "", 1, {}, {"schema": "1"}, {"schema": 1, "scenario": 3, "summary": []}])
def test_what_is_no_record_is_left_to_the_type_check(content):
    expected = content | {"schema": SCHEMA} if isinstance(content, dict) and content.get("schema") == 1 else content
    assert upgrade_run(content) == expected
    assert upgrade_sweep(content) == content
