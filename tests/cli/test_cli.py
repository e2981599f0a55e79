"""The command line, as a user meets it: in a process of its own."""

import importlib.util
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.command_line import warpgroup

from warpgroup.records import read_info, read_run
from warpgroup.reports import read_study

SCENARIO = """
name = "little"
purpose = "to test the command line"
model = "llama-3.1-8b"
device = "rtx-4090"
kv_budget_tokens = 20_000
arrivals = "poisson:2"
requests = 40
max_new_tokens = 500
[workload]
components = [{mixture = "azure-conv"}]
"""
TRACE = "num_prefill_tokens,num_decode_tokens\n" + "".join(f"{100 + i},{10 + i % 50}\n" for i in range(30))


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    (tmp_path / "little.toml").write_text(SCENARIO)
    (tmp_path / "lengths.csv").write_text(TRACE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_compare_writes_a_report_and_a_folder_for_each_run(place):
    done = warpgroup("compare", "--scenario", "little.toml", "--out", "out")
    assert done.returncode == 0, done.stderr
    folders = {path.name for path in (place / "out").iterdir() if path.is_dir()}
    assert folders == {
        "attribution", "count-static", "count-static-n32", "count-continuous", "count-continuous-n32", "paged", "ffd",
    }  # fmt: skip
    assert "<!DOCTYPE html>" in (place / "out" / "report.html").read_text()
    assert "tokens/s" in done.stdout
    assert read_info(place / "out" / "ffd").command == "warpgroup compare --scenario little.toml --out out"
    assert "counts simulated on this trace" in read_info(place / "out" / "count-static").note


def test_json_goes_to_stdout_and_nothing_else_does(place):
    done = warpgroup("compare", "--scenario", "little.toml", "--policies", "paged,ffd(margin=0.2)", "--json")
    assert [summary["policy"] for summary in json.loads(done.stdout)] == ["paged", "ffd(margin=0.2)"]
    assert (place / "warpgroup-runs" / "001" / "ffd-margin0.2" / "run.json").exists()


def test_resume_keeps_complete_runs_of_the_same_experiment_and_makes_the_others(place):
    arguments = ("compare", "--scenario", "little.toml", "--policies", "paged,ffd", "--out", "out")
    assert warpgroup(*arguments).returncode == 0
    paged, ffd = (place / "out" / name / "requests.parquet" for name in ("paged", "ffd"))
    before = paged.stat().st_mtime_ns, ffd.stat().st_mtime_ns
    info = place / "out" / "ffd" / "run.json"
    info.write_text(info.read_text().replace('"complete": true', '"complete": false'))
    assert warpgroup(*arguments, "--resume").returncode == 0
    assert paged.stat().st_mtime_ns == before[0]
    assert ffd.stat().st_mtime_ns > before[1]
    assert warpgroup(*arguments, "--resume", "--seed", "9").returncode == 0
    assert paged.stat().st_mtime_ns > before[0]


def test_other_seeds_have_folders_of_their_own_and_reshuffle_the_requests_of_a_file(place):
    arguments = ("--trace", "lengths.csv", "--arrivals", "at-zero", "--policies", "paged,ffd", "--seeds", "2")
    done = warpgroup("compare", *arguments, "--out", "out", "--json")
    assert done.returncode == 0, done.stderr
    shown = [(summary["policy"], summary["seed"]) for summary in json.loads(done.stdout)]
    assert shown == [("paged", 0), ("ffd", 0), ("paged", 1), ("ffd", 1)]
    first, other = (read_info(place / "out" / folder).scenario.trace for folder in ("paged", "seed-1/paged"))
    assert (first.arrivals, other.arrivals) == ("at-zero", "at-zero")
    assert (first.transforms, other.transforms) == ((), ("reshuffled, seed 1",))
    assert [len(seeds) for seeds in read_study([place / "out"]).replicates] == [2, 2]


def test_what_an_earlier_comparison_left_in_the_folder_is_not_taken_for_this_one(place):
    """Every bar of the first comes to its end too, those of the attribution on one seed alone included."""
    arguments = ("compare", "--scenario", "little.toml", "--out", "out")
    first = warpgroup(*arguments, "--policies", "count-static(n=2),paged", "--seeds", "2")
    assert len(list((place / "out" / "attribution").glob("*/run.json"))) > 2
    assert set(re.findall(r"(\d+)%", first.stderr)) == {"100"}
    replayed = place / "out" / "replayed"
    shutil.copytree(place / "out" / "paged", replayed)
    info = (replayed / "run.json").read_text()
    (replayed / "run.json").write_text(info.replace('"kind": "simulated"', '"kind": "real"'))
    (place / "out" / "paged" / "notes.txt").write_text("mine")
    second = warpgroup(*arguments, "--policies", "ffd", "--seed", "7", "--no-attribute", "--force")
    assert second.returncode == 0, second.stderr
    left = {str(path.relative_to(place / "out")) for path in (place / "out").rglob("*") if path.is_file()}
    assert {path.rpartition("/")[0] for path in left} == {"", "ffd", "paged", "replayed"}
    assert {path for path in left if path.startswith("paged/")} == {"paged/notes.txt"}


def test_simulate_writes_one_run_folder_and_report_reads_it(place):
    done = warpgroup("simulate", "--trace", "lengths.csv", "--arrivals", "at-zero", "--policy", "paged", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert read_info(place / "run").complete
    assert warpgroup("report", "run", "-o", "page.html").returncode == 0
    again = warpgroup("report", "run", "-o", "page.html")
    assert (again.returncode, "--force" in again.stderr) == (2, True)


def test_a_report_can_be_markdown_and_a_trace(place):
    command = ("simulate", "--trace", "lengths.csv", "--arrivals", "at-zero", "--policy", "paged", "--out", "run")
    assert warpgroup(*command).returncode == 0
    shown = warpgroup("report", "run", "--format", "md", "--perfetto", "trace.json")
    assert (shown.returncode, shown.stdout.startswith("### ")) == (0, True)
    assert len(json.loads((place / "trace.json").read_text())["traceEvents"]) > 30
    assert warpgroup("report", "run", "--format", "md", "-o", "short.md").returncode == 0
    assert (place / "short.md").read_text() == shown.stdout
    for more, wanted in ((("--perfetto", "trace.json"), "trace.json exists"), ((), "give -o FILE")):
        refused = warpgroup("report", "run", *more)
        assert (refused.returncode, refused.stdout, wanted in refused.stderr) == (2, "", True)


def test_limits_on_the_command_line_reach_the_run(place):
    options = ("--kv-blocks", "100", "--block-tokens", "32", "--max-seqs", "5", "--step-tokens", "300", "--seed", "3")
    done = warpgroup("simulate", "--scenario", "little.toml", "--policy", "ffd", "--out", "run", *options)
    assert done.returncode == 0, done.stderr
    info = read_info(place / "run")
    memory = info.scenario.memory
    assert (memory.pool_blocks, memory.block_tokens, info.seed) == (100, 32, 3)
    assert (info.scenario.max_seqs, info.scenario.step_tokens) == (5, 300)


def test_vram_and_slo_on_the_command_line_reach_the_run(place):
    options = ("--vram", "20GiB", "--slo", "ttft=2s,tpot=50ms", "--rate-scale", "2", "--max-new-tokens", "99")
    done = warpgroup("simulate", "--scenario", "little.toml", "--policy", "ffd", "--out", "run", *options)
    assert done.returncode == 0, done.stderr
    scenario = read_info(place / "run").scenario
    assert scenario.memory.budget_bytes == 20 * 2**30
    assert (scenario.slo_ttft_s, scenario.slo_tpot_s) == (2, 0.05)
    assert (scenario.trace.rate_scale, scenario.trace.max_new_tokens) == (2, 99)


def test_a_scenarios_kv_budget_stays_with_its_own_model_and_card(place):
    done = warpgroup("simulate", "--scenario", "little.toml", "--model", "llama-2-13b", "--policy", "ffd")
    assert done.returncode == 2
    assert "llama-2-13b does not fit on rtx-4090: of a budget of 22.1 GiB, weights take 24.2 GiB," in done.stderr


def test_replay_without_a_gpu_or_torch_says_what_it_needs(place):
    done = warpgroup(
        "replay", "--trace", "lengths.csv", "--arrivals", "at-zero", "--model", "tiny", "--policies", "paged"
    )
    if importlib.util.find_spec("torch") is None:
        needed = "error: running a model needs torch, which is not installed: run pip install '.[runtime]'"
    else:
        needed = "error: no CUDA device is usable here"
    assert done.returncode == 2
    assert done.stderr.startswith(needed)
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("listing", ["policies", "models", "devices", "scenarios"])
def test_listings_are_for_people_and_for_programs(listing):
    assert warpgroup(listing).stdout
    assert len(json.loads(warpgroup(listing, "--json").stdout)) >= 4


def test_policies_are_listed_with_engine_and_admission_formula():
    shown = {each["id"]: each for each in json.loads(warpgroup("policies", "--json").stdout)}
    assert "vLLM" in shown["paged"]["engine"]
    assert all(each["formula"] for each in shown.values())
    text = " ".join(warpgroup("policies").stdout.split())
    assert f"paged ({shown['paged']['engine']})" in text
    assert text.count("Admits: ") == len(shown)


def test_inspect_shows_lengths_and_dropped_rows(place):
    (place / "some.csv").write_text(TRACE + "0,5\n")
    done = warpgroup("trace", "inspect", "some.csv")
    assert "30 of 31 rows" in done.stderr
    assert "dropped 1: prompt tokens zero (first: row 32: prompt_tokens is 0)" in done.stderr
    assert "no arrival times" in done.stdout
    assert json.loads(warpgroup("trace", "inspect", "some.csv", "--json").stdout)["summary"]["requests"] == 30


def test_help_names_every_command():
    shown = warpgroup("--help").stdout
    for command in ("compare", "simulate", "replay", "report", "trace", "policies", "models", "devices", "scenarios"):
        assert command in shown
    assert warpgroup("--version").stdout.strip()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("compare --trace missing.csv", "missing.csv does not exist"),
        ("compare --trace lengths.csv", "has lengths but no arrival times"),
        ("compare --scenario chat-25", "unknown scenario 'chat-25': did you mean 'chat-24'?"),
        ("compare --model lama-3.1-8b", "did you mean 'llama-3.1-8b'?"),
        ("compare --device rtx4090", "did you mean 'rtx-4090'?"),
        ("compare --policies pagd", "did you mean 'paged'?"),
        ("compare --policies ffd(n=1)", "has no parameter 'n'"),
        ("compare --policies count-continuous(n=5000)", "expected at least one for each of 5000"),
        ("compare --vram 24XB", "expected a number with GiB"),
        ("compare --vram 24GiB --kv-blocks 9", "contradict each other"),
        ("compare --block-tokens 17", "expected a multiple of 16"),
        ("compare --kv-budget-tokens 5", "less than one block"),
        ("compare --max-seqs 9 --step-tokens 5", "5 tokens in a step are fewer than 9 running requests"),
        ("compare --rate-scale 0", "expected a positive number"),
        ("compare --seeds 0", "--seeds is 0, expected a whole number of at least 1"),
        ("compare --max-seqs 0", "--max-seqs is 0, expected a whole number of at least 1"),
        ("compare --max-wait -1", "--max-wait is -1.0, expected a number of at least 0"),
        ("compare --vram 24", "size '24': give a unit, such as 24GiB"),
        ("simulate --policy paged --out .", ". is not empty: choose another --out, or --force to overwrite it"),
        ("compare --slo soon", "is not of the form ttft=10s,tpot=100ms"),
        ("compare --out .", "is not empty"),
        ("simulate --policy paged --out lengths.csv", "cannot write to lengths.csv"),
        ("report nothing -o x.html", "there is no file or folder nothing: expected the folder of a run"),
        ("trace inspect little.toml", "has no known trace format"),
        ("compare --bogus", "No such option"),
        ("report nothing --perfetto x.csv.gz", "expected a name that ends in .json or .json.gz, not .csv.gz"),
        ("simulate", "--policy is missing"),
        ("simulate --step-times nowhere --policy paged", "--step-times takes policy, requests and limits from the run"),
        ("compare --trace little.toml", "(warpgroup trace convert FILE -o FILE.parquet --columns arrival="),
        ("simulate --step-times nowhere", "there is no file or folder nowhere: expected the folder of a run"),
        ("simulate --step-times lengths.csv", "lengths.csv is a file: expected the folder of a run"),
    ],
)
def test_a_mistake_ends_in_one_clear_message_and_exit_code_2(place, arguments, message):
    before = sorted(path.name for path in place.iterdir())
    done = warpgroup(*arguments.split())
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in place.iterdir()) == before


def test_an_interrupted_run_is_kept_marked_incomplete_and_readable(place):
    """A long simulation is told to stop, as by Ctrl-C, once it has shown that it is under way."""
    (place / "long.toml").write_text(SCENARIO.replace("requests = 40", "requests = 1_000_000"))
    command = [sys.executable, "-m", "warpgroup", "simulate", "--scenario", "long.toml", "--policy", "paged"]
    process = subprocess.Popen([*command, "--out", "run"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    process.stderr.readline()  # which rows are used: the simulation starts with the next statement
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "kept in run, marked incomplete" in " ".join(shown.split())
    assert "Traceback" not in shown
    run = read_run(place / "run")
    assert not run.info.complete
    assert 0 < run.info.summary["finished"] < 1_000_000
    assert run.info.summary["finished"] + run.info.summary["aborted"] == 1_000_000
    assert warpgroup("report", "run", "-o", "page.html").returncode == 0


def test_a_graph_pool_is_taken_from_the_kv_pool_and_named_in_the_record(place):
    for out, options in (("plain", ()), ("graphs", ("--graph-pool", "1GiB"))):
        options = ("--vram", "20GiB", *options)
        command = ("simulate", "--trace", "lengths.csv", "--arrivals", "at-zero", "--policy", "paged", "--out", out)
        done = warpgroup(*command, *options)
        assert done.returncode == 0, done.stderr
    plain, graphs = (read_info(place / out).scenario.memory for out in ("plain", "graphs"))
    assert graphs.graph_pool_bytes == 1 << 30
    block = plain.kv_pool_bytes // plain.pool_blocks
    assert plain.pool_blocks - graphs.pool_blocks == (1 << 30) // block
