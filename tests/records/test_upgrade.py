"""Records of older versions are read in today's form."""

import msgspec
import pytest
from support.experiments import experiment
from support.paths import RESULTS

from warpgroup.errors import InvalidRun
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


def changed(folder, part: str = "", **values) -> None:
    """Change these values of the record, or of a part of it."""
    content = msgspec.json.decode((folder / "run.json").read_bytes())
    (content[part] if part else content).update(values)
    (folder / "run.json").write_bytes(msgspec.json.encode(content))


def test_attainment_is_computed_if_the_record_lacks_it(folder):
    assert summary_of(read_info(folder)).attainment == 0.5


def test_a_negative_attainment_stands_for_a_missing_one(folder):
    changed(folder, "summary", attainment=-1.0)
    assert summary_of(read_info(folder)).attainment == 0.5


@pytest.mark.parametrize(
    ("goodput", "makespan", "requests", "attainment"),
    [
        (0.1, 29.9999999, 4, 0.75),  # a whole number of requests kept the SLO
        (3.0, 10.0, 20, 1.0),
        (-3.0, 10.0, 20, 0.0),
        (3.0, 10.0, 0, 0.0),
    ],
)
def test_attainment_is_a_share_of_the_requests(goodput, makespan, requests, attainment):
    summary = {"goodput_req_s": goodput, "makespan_s": makespan, "requests": requests}
    assert upgrade_run({"schema": 1, "summary": summary})["summary"]["attainment"] == attainment


def test_figures_that_are_too_large_are_left_to_the_type_check():
    summary = {"goodput_req_s": 1e308, "makespan_s": 1e308, "requests": 2}
    assert "attainment" not in upgrade_run({"schema": 1, "summary": summary})["summary"]


@pytest.mark.parametrize("schema", [0, -5])
def test_a_schema_below_the_first_is_refused(folder, schema):
    changed(folder, schema=schema)
    with pytest.raises(
        InvalidRun, match=f"run.json has schema {schema}, this version reads 1 to {SCHEMA}: run it again"
    ):
        read_info(folder)


@pytest.mark.parametrize("attainment", [-0.1, 1.1])
def test_todays_record_with_an_impossible_attainment_is_refused(folder, attainment):
    changed(folder, "scenario", recorded_times=False)
    changed(folder, "summary", attainment=attainment)
    changed(folder, schema=SCHEMA)
    with pytest.raises(InvalidRun, match=f"its attainment is {attainment}, expected 0 to 1"):
        read_info(folder)


def test_an_old_record_of_a_real_run_is_read(tmp_path):
    record = (RESULTS / "h200" / "chat-300" / "count-static-n16.json").read_bytes()
    content = msgspec.json.decode(record)
    assert content["schema"] == 1
    assert "attainment" not in content["summary"]
    (tmp_path / "run.json").write_bytes(record)
    info = read_info(tmp_path)
    summary = summary_of(info)
    kept = summary.attainment * summary.requests
    assert info.schema == SCHEMA
    assert 0 <= summary.attainment <= 1
    assert kept == pytest.approx(round(kept))
    assert kept == pytest.approx(summary.goodput_req_s * summary.makespan_s)


def test_the_prefix_of_a_parity_check_becomes_a_field(folder):
    assert not read_info(folder).is_parity_check
    changed(folder, "scenario", step_time="as recorded: NVIDIA H200")
    info = read_info(folder)
    assert (info.scenario.step_time, info.is_parity_check, info.schema) == ("NVIDIA H200", True, SCHEMA)


def test_a_sweep_gets_its_attainment():
    summary = {"goodput_req_s": 0.5, "makespan_s": 10, "requests": 20}
    content = upgrade_sweep({"policies": [{"points": [{"summary": summary}]}]})
    assert content["policies"][0]["points"][0]["summary"]["attainment"] == 0.25


def test_a_sweep_over_several_seeds_gets_the_attainment_of_its_point():
    """In the summary of a point, requests are a sum over the seeds, and goodput and makespan are means."""
    summary = {"goodput_req_s": 0.5, "makespan_s": 10, "requests": 20}
    content = upgrade_sweep({"policies": [{"points": [{"attainment": 0.5, "summary": summary}]}]})
    assert content["policies"][0]["points"][0]["summary"]["attainment"] == 0.5


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        "",
        1,
        {},
        {"schema": "1"},
        {"schema": True},
        {"schema": 0},
        {"schema": 1, "scenario": 3, "summary": []},
    ],
)
def test_what_is_no_record_is_left_to_the_type_check(content):
    is_first = isinstance(content, dict) and content.get("schema") == 1 and content["schema"] is not True
    expected = content | {"schema": SCHEMA} if is_first else content
    assert upgrade_run(content) == expected
    assert upgrade_sweep(content) == content
