"""`warpgroup calibrate` and `warpgroup validate`, as a user meets them. What is measured is made up here."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.paths import RESULTS

from warpgroup.records import read_info, read_run

STEPS = RESULTS / "h200" / "calibration"
LLAMA, QWEN = STEPS / "llama-3.1-8b-grid.parquet", STEPS / "qwen2.5-7b-grid.parquet"


def warpgroup(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "warpgroup", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lengths.json").write_text(json.dumps([[300 + i, 20 + i] for i in range(20)]))
    (tmp_path / "there.parquet").touch()
    return tmp_path


SIMULATE = (
    *("simulate", "--trace", "lengths.json", "--arrivals", "at-zero", "--policy", "paged"),
    *("--model", "llama-3.1-8b", "--device", "h200"),
)


def test_a_profile_is_fitted_to_kept_steps_and_simulated_with(place):
    done = warpgroup("calibrate", "--steps", LLAMA, "-o", "p.json")
    assert done.returncode == 0, done.stderr
    assert "prefill of more, alone" in done.stdout
    assert warpgroup(*SIMULATE, "--profile", "p.json", "--out", "a").returncode == 0
    assert warpgroup(*SIMULATE, "--out", "b").returncode == 0
    assert warpgroup(*SIMULATE, "--profile", "analytic", "--out", "c").returncode == 0
    step_times = [read_info(place / name).scenario.step_time for name in "abc"]
    assert step_times[0].startswith("calibrated for llama-3.1-8b on h200")
    assert step_times[1].startswith("calibrated for llama-3.1-8b on h200")
    assert step_times[2].startswith("analytic roofline")


def test_comparisons_take_a_profile_too_and_resume_only_with_the_same(place):
    arguments = ("compare", *SIMULATE[1:5], *SIMULATE[7:], "--policies", "paged,skyline", "--out", "out")
    assert warpgroup(*arguments, "--json").returncode == 0
    assert read_info(place / "out" / "skyline").scenario.step_time.startswith("calibrated")
    again = warpgroup(*arguments, "--profile", "analytic", "--resume")
    assert again.returncode == 0, again.stderr
    assert read_info(place / "out" / "skyline").scenario.step_time.startswith("analytic")


def logged(place: Path) -> None:
    """What a simulation with the shipped profile would have written down, by vLLM's names and clocks."""
    assert warpgroup(*SIMULATE, "--out", "made").returncode == 0
    r = read_run(place / "made").requests
    rows = zip(r["prompt_tokens"], r["output_tokens"], r["first_token_ns"] / 1e9, r["finish_ns"] / 1e9, strict=True)
    lines = [f"{p},{o},1700000000.0,{first + 77:.9f},{last + 77:.9f}" for p, o, first, last in rows]
    names = "num_prompt_tokens,num_generation_tokens,arrived,first_token_ts,last_token_ts"
    (place / "log.csv").write_text("\n".join([names, *lines]) + "\n")


LOG = ("--log", "log.csv", "--columns", "arrival=arrived", "--model", "llama-3.1-8b", "--device", "h200")


def test_a_log_of_another_engine_is_fitted_to_and_held_against_simulations(place):
    logged(place)
    done = warpgroup("calibrate", *LOG, "-o", "p.json")
    assert done.returncode == 0, done.stderr
    assert "from the first to the last" in done.stdout
    assert "different clocks" in " ".join(done.stderr.split())
    held = warpgroup("validate", *LOG, "--profile", "p.json", "-o", "v.html", "--json")
    figures = {row["figure"]: row for row in json.loads(held.stdout)}
    assert abs(figures["E2E mean"]["error"]) < 0.02
    assert figures["TTFT mean"]["limit"] is None
    assert "peak VRAM" not in figures
    assert "the log log.csv" in (place / "v.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("calibrate", "-o", "p.json"), "--model is missing"),
        (("calibrate", "--model", "tiny", "--steps", LLAMA, "-o", "p.json"), "leave out --model and the limits"),
        (("calibrate", "--model", "tiny", "--kv-blocks", "9", "-o", "p.json"), "describe a --log"),
        (("calibrate", "--log", "lengths.json", "-o", "p.json"), "--model is missing"),
        (("calibrate", "--log", "no.csv", "--model", "tiny", "-o", "p.json"), "no.csv does not exist"),
        (("calibrate", "--log", "no.csv", "--steps", LLAMA, "-o", "p.json"), "a log has no steps"),
        (
            ("calibrate", "--model", "tiny", "--columns", "input=x", "-o", "p.json"),
            "describe a --log, which is missing",
        ),
        (("validate", "-o", "v.html"), "--runs or --log is missing"),
        (("validate", "--runs", "nothing", "--policy", "paged", "-o", "v.html"), "leave --model, --policy"),
        (("calibrate", "--steps", LLAMA, "--policy", "paged", "-o", "p.json"), "describe a --log"),
        (("calibrate", *("--log", "no.csv", "--attention", "flash", "-o", "p.json")), "a log has no steps"),
        (("validate", "--runs", "nothing", "--model", "tiny", "-o", "v.html"), "leave --model"),
        (("validate", "--log", "no.csv", "--model", "tiny", "--time-unit", "h", "-o", "v.html"), "the time unit is"),
        (("calibrate", "--steps", LLAMA, "--steps", QWEN, "-o", "p.json"), "steps of different models"),
        (("calibrate", "--steps", "lengths.json", "-o", "p.json"), "lengths.json does not hold measured steps"),
        (("calibrate", "--steps", LLAMA, "-o", "lengths.json"), "lengths.json exists"),
        (("calibrate", "--steps", LLAMA, "-o", "no/p.json"), "no is not a folder"),
        (
            ("calibrate", "--steps", LLAMA, "-o", "p.json", "--save-steps", "there.parquet"),
            "another --save-steps",
        ),
        (("calibrate", "--runs", "nothing", "-o", "p.json"), "nothing"),
        (("validate", "--runs", "nothing", "-o", "v.html"), "nothing"),
        ((*SIMULATE, "--profile", "none.json"), "cannot read the profile none.json"),
    ],
)
def test_wrong_input_ends_in_one_line(place, arguments, message):
    done = warpgroup(*arguments)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().count("\n") == 0


def test_a_profile_of_another_model_is_refused(place):
    assert warpgroup("calibrate", "--steps", QWEN, "-o", "p.json").returncode == 0
    done = warpgroup(*SIMULATE, "--profile", "p.json")
    assert done.returncode == 2
    assert "p.json is a profile of qwen2.5-7b, but the model to run is llama-3.1-8b" in done.stderr


def test_simulations_are_neither_learned_from_nor_validated(place):
    assert warpgroup(*SIMULATE, "--out", "a").returncode == 0
    for arguments in (("calibrate", "--runs", "a", "-o", "p.json"), ("validate", "--runs", "a", "-o", "v.html")):
        done = warpgroup(*arguments)
        assert done.returncode == 2
        assert "a is a simulated run: only replays" in done.stderr


def test_a_replay_is_learned_from_and_validated(place):
    pytest.importorskip("torch")
    tiny = ("--model", "tiny", "--device", "cpu", "--trace", "lengths.json", "--arrivals", "at-zero")
    done = warpgroup("replay", *tiny, "--policies", "paged,skyline", "--kv-budget-tokens", "4000", "--out", "real")
    assert done.returncode == 0, done.stderr
    done = warpgroup("calibrate", "--runs", "real", "-o", "p.json", "--save-steps", "s.parquet")
    assert done.returncode == 0, done.stderr
    assert (place / "s.parquet").exists()
    done = warpgroup("validate", "--runs", "real", "--profile", "p.json", "-o", "v.html", "--json")
    assert done.returncode in (0, 1), done.stderr  # whether limits are kept is the machine's affair
    figures = json.loads(done.stdout)
    assert {row["policy"] for row in figures} == {"paged", "skyline"}
    assert all(np.isfinite(row["error"]) for row in figures if row["limit"] is not None)
    assert "Simulated step times: calibrated for tiny on cpu" in (place / "v.html").read_text()


def test_an_interrupted_replay_is_not_validated(place):
    assert warpgroup(*SIMULATE, "--out", "a").returncode == 0
    info = json.loads((place / "a" / "run.json").read_text())
    machine = dict.fromkeys(("device", "driver", "dtype", "attention"), "x")
    numbers = (
        *("plan_ahead", "graphs", "temperature", "fixed_bytes", "predicted_peak_bytes", "measured_peak_bytes"),
        *("predicted_temporary_bytes", "measured_temporary_bytes", "process_peak_bytes", "device_peak_bytes"),
        *("busy_share", "host_gap_s", "schedule_lag_p99_s"),
    )
    info |= {"kind": "real", "complete": False, "machine": machine | dict.fromkeys(numbers, 0) | {"degraded": False}}
    (place / "a" / "run.json").write_text(json.dumps(info))
    done = warpgroup("validate", "--runs", "a", "-o", "v.html")
    assert done.returncode == 2
    assert "a was interrupted: replay it again, with --resume" in done.stderr


def test_damaged_steps_are_refused(place):
    table = pq.read_table(LLAMA)
    words = table.set_column(0, table.column_names[0], pa.array(["x"] * len(table)))
    pq.write_table(words.replace_schema_metadata(table.schema.metadata), place / "s.parquet")
    done = warpgroup("calibrate", "--steps", "s.parquet", "-o", "p.json")
    assert done.returncode == 2
    assert "s.parquet: column prefill_tokens holds values that are not whole numbers" in done.stderr
