"""`warpgroup replay` as a user runs it: in a process of its own, on the CPU."""

import json
import signal
import subprocess
import sys
import time

import pytest

from warpgroup.records import read_info

TRACE = json.dumps([[40 + i, 5 + i % 20] for i in range(20)])
ON_THE_CPU = ("replay", "--model", "tiny", "--device", "cpu", "--trace", "lengths.json", "--arrivals", "at-zero")
WARPGROUP = (sys.executable, "-m", "warpgroup")


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "lengths.json").write_text(TRACE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def warpgroup(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*WARPGROUP, *arguments], capture_output=True, text=True, check=False)


def test_several_policies_give_the_table_of_compare_and_a_report(place):
    limits = ("--kv-budget-tokens", "800", "--max-new-tokens", "64", "--out", "out")
    done = warpgroup(*ON_THE_CPU, "--policies", "paged,skyline,count-static(n=4)", *limits)
    assert done.returncode == 0, done.stderr
    assert "TTFT p50" in done.stdout
    assert "Measured: tiny in float32 on CPU, attention by sdpa (torch)" in " ".join(done.stdout.split())
    report = (place / "out" / "report.html").read_text()
    assert "tiny in float32 on CPU, attention by sdpa (torch)" in report
    assert read_info(place / "out" / "count-static-n4").kind == "real"
    again = warpgroup(*ON_THE_CPU, "--policies", "paged,skyline", *limits, "--resume", "--json")
    assert [summary["policy"] for summary in json.loads(again.stdout)] == ["paged", "skyline"]
    assert "opening" not in again.stderr


def test_simulated_and_real_runs_of_one_trace_are_laid_side_by_side(place):
    assert warpgroup(*ON_THE_CPU, "--policies", "paged", "--out", "real").returncode == 0
    trace = ("--model", "tiny", "--trace", "lengths.json", "--arrivals", "at-zero")
    assert warpgroup("simulate", *trace, "--policy", "paged", "--out", "simulated").returncode == 0
    done = warpgroup("report", "real", "simulated", "-o", "both.html")
    assert done.returncode == 0, done.stderr
    assert "real and simulated" in (place / "both.html").read_text()


def test_a_replay_is_made_again_from_its_record(place):
    limits = ("--kv-budget-tokens", "320", "--max-new-tokens", "64")
    assert warpgroup(*ON_THE_CPU, "--policies", "skyline", *limits, "--out", "real").returncode == 0
    done = warpgroup("simulate", "--step-times", "real/skyline", "--out", "again")
    assert done.returncode == 0, done.stderr
    assert "plans are the same" in done.stderr
    real, again = read_info(place / "real" / "skyline"), read_info(place / "again")
    assert (again.kind, again.plan_hash) == ("simulated", real.plan_hash)
    done = warpgroup("simulate", "--step-times", "real", "--out", "other")
    assert (done.returncode, "runs in it: real/skyline" in done.stderr) == (2, True)
    record = json.loads((place / "real" / "skyline" / "run.json").read_text())
    record["plan_hash"] = "0" * 16
    (place / "real" / "skyline" / "run.json").write_text(json.dumps(record))
    done = warpgroup("simulate", "--step-times", "real/skyline", "--out", "other")
    assert done.returncode == 1
    assert "the plans of real/skyline are not those of the simulator: every step is the same, but" in " ".join(
        done.stderr.split()
    )


def test_ctrl_c_keeps_the_record_so_far(place):
    (place / "lengths.json").write_text(json.dumps([[100, 100]] * 1500))
    process = subprocess.Popen([*WARPGROUP, *ON_THE_CPU, "--policies", "paged", "--out", "out"], stderr=subprocess.PIPE)
    assert process.stderr is not None
    while b"trace" not in process.stderr.readline():
        pass  # torch is being imported
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"interrupted" in stderr
    info = read_info(place / "out" / "paged")
    assert not info.complete
    assert info.summary["aborted"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--attention", "flash", "--policies", "paged"), "choose --attention sdpa"),
        (("--policy", "paged"), "Possible options: --policies"),
        (("--policies", "paged", "--speed", "0"), "--speed is 0, expected a positive number"),
        (("--policies", "paged", "--vram", "1MiB"), "tiny does not fit on cpu"),
        (("--policies", "paged", "--model", "./nowhere"), "is not a model: it has no config.json"),
    ],
)
def test_an_impossible_replay_is_refused_in_one_line(place, arguments, message):
    done = warpgroup(*ON_THE_CPU, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
