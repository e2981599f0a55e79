"""`warpgroup gate` as a CI job runs it: every exit code, and a baseline that is kept in a repository."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from support.command_line import warpgroup
from support.experiments import experiment
from support.gate_repository import CONFIG, SCENARIO, checks_in, gate, git, make_repository

from warpgroup.cli import gate as gating
from warpgroup.csrc import parse_policy
from warpgroup.reports.gate.classes.exact import figures_of_run
from warpgroup.sim import AnalyticStepTime, simulate


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_repository(tmp_path)
    return tmp_path


def test_accepted_figures_pass_and_every_output_says_so(place):
    assert gate("accept", "--reason", "the first").exit_code == 0
    outputs = "--junit j.xml --html g.html --markdown m.md --json r.json --history h.parquet".split()
    done = gate("run", *outputs, "--annotations")
    assert done.exit_code == 0, done.output
    suites = ElementTree.parse(place / "j.xml").getroot()
    assert sum(int(suite.get("failures")) for suite in suites.iter("testsuite")) == 0
    assert "PASSED: " in (place / "g.html").read_text()
    assert "PASSED: " in (place / "m.md").read_text()
    assert {check["outcome"] for check in checks_in(place / "r.json")} == {"passed"}


def test_a_change_is_found_and_accepted_with_its_reason(place):
    gate("accept", "--reason", "the first")
    scenario = place / "own.toml"
    scenario.write_text(SCENARIO.replace("max_new_tokens = 400", "max_new_tokens = 399"))
    done = gate("run", "--junit", "j.xml", "--json", "r.json")
    assert done.exit_code == 1
    checks = checks_in(place / "r.json")
    changed = [check for check in checks if check["outcome"] == "changed"]
    assert changed
    failures = ElementTree.parse(place / "j.xml").getroot().iter("failure")
    assert len([*failures]) == len(changed)
    assert gate("accept", "--reason", "one token less").exit_code == 0
    assert gate("run").exit_code == 0
    accepted = json.loads((place / "baselines" / "accepted.json").read_text())
    assert [each["reason"] for each in accepted] == ["the first", "one token less"]
    assert len(accepted[1]["changed"]) == len(changed)


@pytest.mark.parametrize("policy", ["paged", "skyline"])
@pytest.mark.parametrize("which", range(6))
def test_one_more_token_of_one_request_changes_the_figures(policy, which):
    rows = [(i * 10**8, 50 + 7 * i, 20 + 3 * i) for i in range(6)]
    longer = [(at, prompt, output + (i == which)) for i, (at, prompt, output) in enumerate(rows)]
    figures = []
    for requests in (rows, longer):
        made = experiment(requests, kv_blocks=40)
        step_time = AnalyticStepTime(made.memory.geometry, made.device)
        figures.append(figures_of_run(simulate(made, parse_policy(policy), step_time=step_time)))
    assert figures[0] != figures[1]


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("perf-gate.toml", CONFIG.replace("policies", "polices"), "line 4: exact.polices"),
        ("perf-gate.toml", "[exact", "not TOML"),
        ("perf-gate.toml", "", "gates nothing"),
        ("perf-gate.toml", CONFIG.replace("paged", "pagd"), "did you mean 'paged'"),
        ("own.toml", SCENARIO.replace("requests = 30", "requests = -1"), "requests"),
    ],
)
def test_wrong_usage_is_2_and_says_where(place, path, content, message):
    gate("accept", "--reason", "the first")
    (place / path).write_text(content)
    done = gate("run")
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--only", "timd"), "expected some of exact, counted, timed"),
        (("run", "--only", "timed"), "there is nothing to gate"),
        (("run", "--config", "none.toml"), "cannot read none.toml"),
        (("accept", "--reason", " "), "--reason is empty"),
    ],
)
def test_wrong_options_are_2(place, arguments, message):
    done = gate(*arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())


def test_a_base_that_does_not_exist_is_2(place):
    (place / "perf-gate.toml").write_text(CONFIG + "[counted]\n")
    done = gate("run", "--base", "nowhere")
    assert done.exit_code == 2
    assert "--base nowhere is not a commit" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        (None, "cannot read the baseline"),
        ("", "is not a baseline"),
        ('{"figures": {}}', "is empty"),
        ('{"figures": {"own.toml: paged": {"makespan_ns": NaN}}}', "is not a baseline"),
        ('{"figures": {"gone: paged": {"makespan_ns": 1}}}', "no longer has this figure"),
    ],
)
def test_a_missing_or_damaged_baseline_is_4_and_never_a_pass(place, baseline, message):
    (place / "baselines").mkdir()
    if baseline is not None:
        (place / "baselines" / "exact.json").write_text(baseline)
    done = gate("run", "--json", "r.json")
    assert done.exit_code == 4
    details = [check["detail"] for check in checks_in(place / "r.json")]
    assert any(message in detail for detail in details)


def test_a_base_that_does_not_build_is_4(place):
    (place / "perf-gate.toml").write_text(CONFIG + '[timed]\nfiles = ["bench.py"]\n')
    (place / "baselines").mkdir()
    (place / "baselines" / "timed.json").write_text('["bench.py::test_a"]')
    (place / "bench.py").write_text("def test_a(benchmark):\n    benchmark(sum, range(1000))\n")
    done = gate("run", "--only", "timed", "--json", "r.json")
    assert done.exit_code == 4
    (check,) = checks_in(place / "r.json")
    assert "does not build" in check["detail"]


def test_outputs_that_cannot_be_written_are_refused_before_anything_is_measured(place):
    done = gate("run", "--junit", "no/such/j.xml")
    assert done.exit_code == 2
    assert "cannot write no/such/j.xml" in done.output


def test_a_repository_without_a_commit_and_a_folder_without_a_repository_are_2(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "perf-gate.toml").write_text(CONFIG)
    assert gate("run").exit_code == 2
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "own.toml").write_text(SCENARIO)
    assert gate("accept", "--reason", "first").exit_code == 0
    done = gate("run")
    assert done.exit_code == 2
    assert "has no commit yet" in done.output


def test_an_unforeseen_error_is_4_and_not_a_regression(place, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("an unforeseen error")

    monkeypatch.setattr(gating, "_simulate_figures", fail)
    (place / "baselines").mkdir()
    (place / "baselines" / "exact.json").write_text('{"figures": {"a": {"m": 1}}}')
    done = gate("run")
    assert done.exit_code == 4
    assert "an unforeseen error" in " ".join(done.output.split())


def test_the_command_ends_with_its_code_in_a_process_of_its_own(place):
    command = [sys.executable, "-m", "warpgroup", "gate", "run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr


def test_the_history_of_a_trend_must_exist(tmp_path):
    done = warpgroup("gate", "trend", "--history", str(tmp_path / "no.parquet"))
    assert done.returncode == 4
    assert "there is no history" in done.stderr


@pytest.mark.parametrize(
    ("option", "name", "wanted"),
    [("--json", "x.html", ".json"), ("--junit", "x.json", ".xml"), ("--html", "x.md", ".html")],
)
def test_an_output_of_another_format_is_refused_before_anything_runs(tmp_path, option, name, wanted):
    done = warpgroup("gate", "run", option, str(tmp_path / name))
    assert done.returncode == 2
    assert f"expected a name that ends in {wanted}" in done.stderr
