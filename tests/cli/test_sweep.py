"""`warpgroup sweep`, as a user meets it: in a process of its own."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from support.command_line import warpgroup

from warpgroup.records import read_info
from warpgroup.records.sweep import Sweep, read_sweep

TRACE = "num_prefill_tokens,num_decode_tokens\n" + "".join(
    f"{100 + i * 37 % 900},{10 + i * 53 % 190}\n" for i in range(80)
)
REQUESTS = ("--trace", "lengths.csv", "--model", "llama-3.1-8b", "--device", "rtx-4090", "--kv-budget-tokens", "20000")
SWEEP = ("sweep", *REQUESTS, "--slo", "ttft=1s,tpot=60ms", "--rate", "1:12:1", "--seeds", "2")


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    (tmp_path / "lengths.csv").write_text(TRACE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(folder: Path) -> tuple[Sweep, bytes]:
    """Without the command, which says how it was run."""
    return msgspec.structs.replace(read_sweep(folder), command=""), (folder / "trials.jsonl").read_bytes()


def test_a_sweep_finds_capacities_shows_a_table_and_goes_on_where_it_was(place):
    done = warpgroup(*SWEEP, "--policies", "count-continuous,paged,skyline", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "policies: 4, rates: 12, seeds: 2, requests in a trial: 80; 24 to 32 to make" in " ".join(
        done.stderr.split()
    )
    found, trials = answer(place / "out")
    assert [p.policy for p in found.policies][1:] == ["count-continuous(n=32)", "paged", "skyline"]
    assert all(p.capacity and p.first_failing for p in found.policies)
    assert (found.scenario.slo_ttft_s, found.seeds, found.rates) == (1.0, [0, 1], list(range(1, 13)))
    for head in ("capacity", "fails at", "of best count", "tokens/s", "trials"):
        assert head.split()[0] in done.stdout
    assert "keep the SLO" in done.stdout or "keeps the SLO" in done.stdout
    again = warpgroup(*SWEEP, "--policies", "count-continuous,paged,skyline", "--out", "out", "--resume", "--json")
    assert again.returncode == 0, again.stderr
    assert f"{len([line for line in trials.splitlines() if b'trial' in line])} trials are done" in again.stderr
    assert msgspec.convert(json.loads(again.stdout), Sweep) == read_sweep(place / "out")
    assert answer(place / "out") == (found, trials)


def test_the_answer_is_that_of_single_simulations_of_the_same_arrivals(place):
    assert warpgroup(*SWEEP, "--policies", "paged", "--out", "out").returncode == 0
    point = read_sweep(place / "out").policies[0].points[0]
    for seed in (0, 1):
        arguments = (
            "--arrivals",
            f"poisson:{point.rate}",
            "--seed",
            str(seed),
            "--policy",
            "paged",
            "--out",
            f"s{seed}",
        )
        assert warpgroup("simulate", *REQUESTS, "--slo", "ttft=1s,tpot=60ms", *arguments).returncode == 0
        summary = read_info(place / f"s{seed}").summary
        good = summary["goodput_req_s"] * summary["makespan_s"]
        assert point.by_seed[seed] == pytest.approx(good / 80)


def test_a_dry_run_says_what_it_will_take_and_writes_nothing(place):
    done = warpgroup(*SWEEP, "--policies", "paged,skyline", "--workers", "3", "--out", "out", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert (plan["trials_least"], plan["trials_most"], plan["at_once"]) == (12, 16, 3)
    assert 0 < plan["seconds_least"] <= plan["seconds_most"]
    assert "12 to 16 to make, 3 at a time: about" in " ".join(done.stderr.split())
    assert sorted(path.name for path in place.iterdir()) == ["lengths.csv"]


@pytest.mark.parametrize("by", ["the terminal", "another program"])
def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(place, by):
    arguments = (
        *SWEEP[:-4],
        "--rate",
        "0.01:8:0.01",
        "--grid",
        "--policies",
        "paged",
        "--workers",
        "2",
        "--out",
        "out",
    )
    command = [sys.executable, "-m", "warpgroup", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    trials = place / "out" / "trials.jsonl"
    until = time.monotonic() + 30
    while not (trials.exists() and trials.stat().st_size) and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT) if by == "the terminal" else process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in shown
    kept = len(trials.read_bytes().splitlines())
    assert f"{kept} simulations are kept; the same command with --out out --resume continues" in " ".join(shown.split())
    planned = warpgroup(*arguments, "--resume", "--dry-run", "--json")
    assert json.loads(planned.stdout)["trials_done"] == kept > 0


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: pip install '.[ray]'")
def test_ray_finds_the_same_to_the_byte(place):
    arguments = (*SWEEP, "--policies", "count-continuous,paged,skyline")
    assert warpgroup(*arguments, "--out", "local").returncode == 0
    done = warpgroup(*arguments, "--engine", "ray", "--workers", "1", "--out", "ray")
    assert done.returncode == 0, done.stderr
    assert "1 at a time" in " ".join(done.stderr.split())
    assert answer(place / "ray") == answer(place / "local")


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: pip install '.[ray]'")
@pytest.mark.parametrize("address", ["127.0.0.1:9", "nowhere"])
def test_a_cluster_that_is_not_there_is_one_clear_line(place, address):
    done = warpgroup(*SWEEP, "--policies", "paged", "--engine", "ray", "--ray-address", address, "--dry-run")
    assert done.returncode == 2
    assert f"error: no Ray cluster at {address}: " in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--rate 1-10", "the grid '1-10' is not of the form LOW:HIGH:STEP"),
        ("--rate 10:1:1", "LOW is above HIGH"),
        ("--rate 1:10:0", "must be positive numbers"),
        ("--rate 1:2000:1", "has more than 1,000 rates"),
        ("--rate 1:2:1 --seeds 0", "--seeds is 0, expected a whole number of at least 1"),
        ("--rate 1:2:1 --attainment 90", "--attainment is 90, expected a share such as 0.9"),
        ("--rate 1:2:1 --workers 0", "--workers is 0, expected a whole number of at least 1"),
        ("--rate 1:2:1 --engine rya", "unknown engine 'rya': did you mean 'ray'?"),
        ("--rate 1:2:1 --ray-address auto", "--ray-address needs --engine ray"),
        ("--rate 1:2:1 --policies pagd", "did you mean 'paged'?"),
        ("--rate 1:2:1 --policies count-continuous(n=5000)", "expected at least one for each of 5000"),
        ("--rate 1:2:1 --out .", "is not empty"),
        ("--rate 1:2:1 --trace missing.csv", "missing.csv does not exist"),
    ],
)
def test_a_mistake_ends_in_one_clear_line_and_exit_code_2(place, arguments, message):
    done = warpgroup("sweep", *REQUESTS, *arguments.split())
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert len(done.stderr.strip().splitlines()) == 1
    assert sorted(path.name for path in place.iterdir()) == ["lengths.csv"]
