"""Trends: points of replays, and where a series changed."""

import sys
from types import ModuleType, SimpleNamespace

import msgspec
import numpy as np
import pytest
from support.experiments import experiment
from support.gate_results import exact, gate

from warpgroup.csrc import parse_policy
from warpgroup.errors import InvalidRun
from warpgroup.records import MachineInfo, Run, write_run
from warpgroup.reports.gate.classes.trend.change_points import find_changes, trend_result
from warpgroup.reports.gate.classes.trend.series import points_of_run
from warpgroup.reports.gate.history import append_result
from warpgroup.reports.gate.result import Check, Outcome
from warpgroup.sim import simulate

NOW = "2026-11-24"
STEP = [100.0, 101.0, 99.5, 100.5, 100.2, 99.8, 100.1, 112.0, 112.5, 111.7, 112.2, 111.9, 112.1]


def history_of(tmp_path, values, device="H100"):
    path = tmp_path / "gate.parquet"
    for day, value in enumerate(values, 1):
        point = Check("trend", "chat: ffd", "TTFT mean, s", Outcome.REPORTED, head=value)
        append_result(path, gate(point, date=f"2026-11-{day:02}", head=f"commit{day}", machine={"device": device}))
    return path


@pytest.fixture
def changes_at(monkeypatch):
    """Stands for apache-otava: finds the positions it is told."""

    def install(*positions):
        analysis = ModuleType("otava.analysis")
        analysis.compute_change_points = lambda *_: ([SimpleNamespace(index=i) for i in positions], None)
        monkeypatch.setitem(sys.modules, "otava", ModuleType("otava"))
        monkeypatch.setitem(sys.modules, "otava.analysis", analysis)

    return install


def test_a_change_point_is_dated_and_sized(tmp_path, changes_at):
    changes_at(7)
    (check,) = find_changes(history_of(tmp_path, STEP), now=NOW)
    assert (check.name, check.outcome) == ("chat: ffd on H100", Outcome.REPORTED)
    assert check.base == pytest.approx(np.mean(STEP[:7]))
    assert check.head == pytest.approx(np.mean(STEP[7:]))
    assert check.detail == "last changed by +11.9 % at 2026-11-08 (commit8); 13 points"


def test_several_change_points_are_told_from_the_last_back(tmp_path, changes_at):
    changes_at(4, 8)
    (check,) = find_changes(history_of(tmp_path, [10] * 4 + [20] * 4 + [15] * 4), now=NOW)
    assert (check.base, check.head) == (20, 15)
    assert check.detail == (
        "last changed by -25 % at 2026-11-09 (commit9); before that +100 % at 2026-11-05 (commit5); 12 points"
    )


def test_a_steady_series_is_said_to_be_steady(tmp_path, changes_at):
    changes_at()
    (check,) = find_changes(history_of(tmp_path, [5.0] * 9), now=NOW)
    assert (check.change, check.detail) == (0, "no change point in 9 points")


def test_short_series_other_classes_and_later_points_are_left_out(tmp_path, changes_at):
    changes_at()
    path = history_of(tmp_path, [5.0] * 8)
    append_result(path, gate(exact(Outcome.PASSED), date="2026-11-09"))
    assert len(find_changes(path, now=NOW)) == 1
    assert find_changes(path, now="2026-11-07") == []


def test_series_of_two_devices_are_not_mixed(tmp_path, changes_at):
    changes_at()
    history_of(tmp_path, [5.0] * 8)
    path = history_of(tmp_path, [9.0] * 8, device="H200")
    assert [(check.name, check.head) for check in find_changes(path, now=NOW)] == [
        ("chat: ffd on H100", 5.0),
        ("chat: ffd on H200", 9.0),
    ]


def test_findings_that_were_kept_are_no_points(tmp_path, changes_at):
    changes_at()
    path = history_of(tmp_path, [5.0] * 8)
    for _ in range(9):
        append_result(path, gate(*find_changes(path, now=NOW), date="2026-11-20"))
    assert [check.detail for check in find_changes(path, now=NOW)] == ["no change point in 8 points"]


def test_a_result_is_made_of_it_even_where_there_is_nothing_to_say(tmp_path, changes_at):
    changes_at(7)
    path = history_of(tmp_path, STEP)
    assert trend_result(path, now=NOW).checks == find_changes(path, now=NOW)
    (check,) = trend_result(tmp_path / "none.parquet", now=NOW).checks
    assert (check.outcome, check.detail) == (Outcome.REPORTED, "no series has 8 points yet")


def test_without_otava_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "otava.analysis", None)
    (check,) = find_changes(history_of(tmp_path, STEP), now=NOW)
    assert check.outcome is Outcome.REPORTED
    assert "pip install apache-otava" in check.detail


def test_otava_finds_a_step_and_none_where_there_is_none(tmp_path):
    pytest.importorskip("otava.analysis", reason="apache-otava is not installed")
    (check,) = find_changes(history_of(tmp_path, STEP), now=NOW)
    assert "2026-11-08" in check.detail
    (tmp_path / "gate.parquet").unlink()
    (check,) = find_changes(history_of(tmp_path, STEP[:7] * 3), now=NOW)
    assert check.detail == "no change point in 21 points"
    (tmp_path / "gate.parquet").unlink()
    (check,) = find_changes(history_of(tmp_path, [3] * 20), now=NOW)
    assert check.detail == "no change point in 20 points"


def run_folder(path, **changed):
    run = simulate(experiment([(0, 30, 4), (5, 40, 6)], kv_blocks=40), parse_policy("ffd"), command="warpgroup replay")
    numbers = {"temperature": 0.0, "busy_share": 1.0, "host_gap_s": 0.0, "schedule_lag_p99_s": 0.0, "degraded": False}
    text = {"device": "NVIDIA H100", "driver": "1", "dtype": "bfloat16", "attention": "paged"}
    rest = {name: 0 for name in MachineInfo.__struct_fields__ if name != "graph_rows"}
    machine = MachineInfo(**(rest | numbers | text))
    info = msgspec.structs.replace(run.info, **({"kind": "real", "machine": machine} | changed))
    write_run(path, Run(info, run.requests, run.steps, run.events))
    return info


def test_a_replay_becomes_points_of_its_device(tmp_path):
    info = run_folder(tmp_path / "run")
    points = points_of_run(tmp_path / "run", date=NOW)
    assert (points.date, points.machine, points.exit_code) == (NOW, {"device": "NVIDIA H100"}, 0)
    assert {check.metric: check.head for check in points.checks} == {
        "makespan, s": info.summary["makespan_s"],
        "total tokens/s": info.summary["total_tok_s"],
        "TTFT mean, s": info.summary["ttft_s"]["mean"],
        "TPOT p99, s": info.summary["tpot_s"]["p99"],
        "peak VRAM, bytes": info.summary["peak_vram_bytes"],
    }
    assert all(check.base is None and check.kind == "trend" for check in points.checks)


@pytest.mark.parametrize(
    ("changed", "said"), [({"kind": "simulated"}, "not a replay"), ({"complete": False}, "interrupted")]
)
def test_a_simulation_and_an_interrupted_run_are_no_points(tmp_path, changed, said):
    run_folder(tmp_path / "run", **changed)
    with pytest.raises(InvalidRun, match=said):
        points_of_run(tmp_path / "run", date=NOW)
