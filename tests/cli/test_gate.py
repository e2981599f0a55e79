"""`warpgroup gate`, as a CI job meets it: every exit code, and a baseline that lives in a repository."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from support.experiments import experiment
from typer.testing import CliRunner

from warpgroup.cli import gate as gating
from warpgroup.cli.main import app
from warpgroup.csrc import parse_policy
from warpgroup.errors import WarpGroupError
from warpgroup.reports.gate.classes.exact import figures_of_run
from warpgroup.sim import AnalyticStepTime, simulate

CONFIG = """
[exact]
scenarios = ["own.toml"]
policies = ["paged", "skyline"]
"""
SCENARIO = """
name = "own"
purpose = "small"
model = "qwen2.5-7b"
device = "h200"
requests = 30
max_new_tokens = 400
kv_budget_tokens = 8000
arrivals = "poisson:20"

[workload]
arrivals = ""

[[workload.components]]
mixture = "sharegpt-8k"
"""


def git(folder: Path, *arguments: str) -> None:
    named = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", "-C", folder, *named, *arguments], check=True, capture_output=True)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "perf-gate.toml").write_text(CONFIG)
    (tmp_path / "own.toml").write_text(SCENARIO)
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def gate(*arguments: str):
    done = CliRunner().invoke(app, ["gate", *arguments])
    if isinstance(done.exception, WarpGroupError):  # what `main` makes of it
        return type("Done", (), {"exit_code": 2, "output": str(done.exception)})
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_what_was_accepted_passes_and_every_output_says_so(place):
    assert gate("accept", "--reason", "the first").exit_code == 0
    outputs = (
        "--junit",
        "j.xml",
        "--html",
        "g.html",
        "--markdown",
        "m.md",
        "--json",
        "r.json",
        "--history",
        "h.parquet",
    )
    done = gate("run", *outputs, "--annotations")
    assert done.exit_code == 0, done.output
    suites = ElementTree.parse(place / "j.xml").getroot()
    assert sum(int(suite.get("failures")) for suite in suites.iter("testsuite")) == 0
    assert "PASSED: " in (place / "g.html").read_text()
    assert "PASSED: " in (place / "m.md").read_text()
    assert {check["outcome"] for check in json.loads((place / "r.json").read_text())["checks"]} == {"passed"}


def test_a_change_is_found_named_and_accepted_with_its_reason(place):
    gate("accept", "--reason", "the first")
    scenario = place / "own.toml"
    scenario.write_text(SCENARIO.replace("max_new_tokens = 400", "max_new_tokens = 399"))
    done = gate("run", "--junit", "j.xml", "--json", "r.json")
    assert done.exit_code == 1
    checks = json.loads((place / "r.json").read_text())["checks"]
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
def test_one_token_of_one_request_always_shows(policy, which):
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
def test_what_is_missing_or_damaged_is_4_and_never_a_pass(place, baseline, message):
    (place / "baselines").mkdir()
    if baseline is not None:
        (place / "baselines" / "exact.json").write_text(baseline)
    done = gate("run", "--json", "r.json")
    assert done.exit_code == 4
    details = [check["detail"] for check in json.loads((place / "r.json").read_text())["checks"]]
    assert any(message in detail for detail in details)


def test_a_base_that_does_not_build_is_4(place):
    (place / "perf-gate.toml").write_text(CONFIG + '[timed]\nfiles = ["bench.py"]\n')
    (place / "baselines").mkdir()
    (place / "baselines" / "timed.json").write_text('["bench.py::test_a"]')
    (place / "bench.py").write_text("def test_a(benchmark):\n    benchmark(sum, range(1000))\n")
    done = gate("run", "--only", "timed", "--json", "r.json")
    assert done.exit_code == 4
    (check,) = json.loads((place / "r.json").read_text())["checks"]
    assert "does not build" in check["detail"]


PACKAGE = '[build-system]\nrequires = []\nbuild-backend = "nothing_to_build"\nbackend-path = ["."]\n'
BACKEND = '''
"""The smallest build backend: a wheel with one module."""

import zipfile


def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "warpgroup-0.0.1-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.write("warpgroup.py")
        about = "warpgroup-0.0.1.dist-info"
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\\nName: warpgroup\\nVersion: 0.0.1\\n")
        kind = "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr(f"{about}/WHEEL", kind)
        wheel.writestr(f"{about}/RECORD", "")
    return name
'''
BENCHMARKS = """
import pytest, warpgroup

@pytest.mark.parametrize("size", [2000, 3000])
def test_work(benchmark, size):
    benchmark(warpgroup.work, size)
"""


@pytest.fixture
def timed_place(place):
    """A package of one module whose benchmarks are gated; the working tree may differ from its first commit."""
    (place / "pyproject.toml").write_text(PACKAGE + '[project]\nname = "warpgroup"\nversion = "0.0.1"\n')
    (place / "nothing_to_build.py").write_text(BACKEND)
    (place / "warpgroup.py").write_text("def work(size):\n    return sum(range(size))\n")
    (place / "bench.py").write_text(BENCHMARKS)
    (place / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    timed = 'files = ["bench.py"]\nlaunches = [6, 30]\npairs = 4\nfail_above = "60%"\n'
    (place / "perf-gate.toml").write_text("budget_s = 120\n[timed]\n" + timed)
    (place / "baselines").mkdir()
    (place / "baselines" / "timed.json").write_text('["bench.py::test_work[2000]", "bench.py::test_work[3000]"]')
    git(place, "add", "-A")
    git(place, "commit", "-q", "-m", "timed")
    git(place, "commit", "-q", "--allow-empty", "-m", "what is gated")
    return place


def outcomes(place: Path) -> dict[str, str]:
    checks = json.loads((place / "r.json").read_text())["checks"]
    return {check["name"]: check["outcome"] for check in checks}


def test_base_and_head_are_built_timed_and_told_apart(timed_place):
    (timed_place / "warpgroup.py").write_text("def work(size):\n    return sum(range(4 * size))\n")
    done = gate("run", "--json", "r.json")
    assert done.exit_code == 1, done.output
    assert set(outcomes(timed_place).values()) == {"regressed"}


@pytest.mark.parametrize("lazily", [False, True])
def test_a_package_that_is_imported_from_the_tree_would_be_measured_twice_and_is_4(timed_place, lazily):
    (timed_place / "pytest.ini").write_text("[pytest]\n")
    if lazily:
        late = "import warpgroup\n    benchmark(warpgroup"
        text = BENCHMARKS.replace("import pytest, warpgroup", "import pytest").replace("benchmark(warpgroup", late)
        (timed_place / "bench.py").write_text(text)
    done = gate("run", "--json", "r.json")
    assert done.exit_code == 4
    checks = json.loads((timed_place / "r.json").read_text())["checks"]
    assert all("warpgroup was imported from" in check["detail"] for check in checks)


def test_a_benchmark_that_crashes_in_head_alone_is_4(timed_place):
    (timed_place / "warpgroup.py").write_text("def work(size):\n    return sum(range(size)) / (size - 2000)\n")
    done = gate("run", "--json", "r.json")
    assert done.exit_code == 4
    assert outcomes(timed_place)["bench.py::test_work[2000]"] == "broken"


@pytest.mark.parametrize(
    ("clock", "said"),
    [
        ("cuda", "needs torch, which cannot be imported: import of torch halted; None in sys.modules; install it"),
        ("wall", "choose one of thread, process, cuda"),
    ],
)
def test_a_clock_that_is_not_there_is_4_and_said_in_one_line(timed_place, clock, said):
    (timed_place / "conftest.py").write_text("import sys\nsys.modules['torch'] = None\n")
    marked = f'@pytest.mark.gate_clock("{clock}")\n@pytest.mark.parametrize'
    (timed_place / "bench.py").write_text(BENCHMARKS.replace("@pytest.mark.parametrize", marked))
    done = gate("run", "--json", "r.json")
    assert done.exit_code == 4
    details = {check["detail"] for check in json.loads((timed_place / "r.json").read_text())["checks"]}
    assert len(details) == 1
    assert details.pop().endswith(said)


def test_a_benchmark_that_is_gone_is_4_until_that_is_accepted(timed_place):
    (timed_place / "bench.py").write_text(BENCHMARKS.replace("[2000, 3000]", "[3000, 4000]"))
    assert gate("run", "--json", "r.json", "--budget", "1").exit_code == 4
    checks = json.loads((timed_place / "r.json").read_text())["checks"]
    broken = {check["name"]: check["detail"] for check in checks if check["outcome"] == "broken"}
    assert "renamed or deleted" in broken["bench.py::test_work[2000]"]
    assert "is not in the baseline" in broken["bench.py::test_work[4000]"]
    accepted = gate("accept", "--reason", "other sizes")
    assert accepted.exit_code == 0, accepted.output
    assert gate("run", "--json", "r.json", "--budget", "1").exit_code == 3


def test_a_benchmark_of_what_the_base_does_not_have_yet_is_reported(timed_place):
    (timed_place / "warpgroup.py").write_text("def work(size):\n    return sum(range(size))\n\n\nplay = work\n")
    more = "def test_play(benchmark):\n    benchmark(warpgroup.play, 2000)\n"
    (timed_place / "bench.py").write_text(BENCHMARKS + "\n\n" + more)
    assert gate("accept", "--reason", "play").exit_code == 0
    done = gate("run", "--json", "r.json")
    assert done.exit_code == 0, done.output
    assert outcomes(timed_place)["bench.py::test_play"] == "reported"


def test_no_time_to_decide_is_3(timed_place):
    done = gate("run", "--json", "r.json", "--budget", "1")
    assert done.exit_code == 3, done.output
    assert set(outcomes(timed_place).values()) == {"inconclusive"}


def test_a_threshold_that_this_machine_cannot_show_is_refused(timed_place):
    calibrated = gate("calibrate", "--launches", "16")
    assert calibrated.exit_code == 0, calibrated.output
    calibration = timed_place / "build" / "gate" / "calibration.json"
    found = json.loads(calibration.read_text())
    assert set(found["detectable"]) == {"bench.py::test_work[2000]", "bench.py::test_work[3000]"}
    found["detectable"]["bench.py::test_work[2000]"] = 0.9
    calibration.write_text(json.dumps(found))
    done = gate("run")
    assert done.exit_code == 2
    assert "detects no change below 90.0%" in " ".join(done.output.split())


def test_a_commit_on_the_base_itself_is_compared_with_the_one_before_it(timed_place):
    (timed_place / "warpgroup.py").write_text("def work(size):\n    return sum(range(4 * size))\n")
    git(timed_place, "commit", "-q", "-a", "-m", "slower")
    assert gate("run", "--json", "r.json").exit_code == 1


def test_a_change_on_purpose_that_the_base_cannot_run_may_be_waived(timed_place):
    (timed_place / "warpgroup.py").write_text("def work(size, step):\n    return sum(range(0, size, step))\n")
    (timed_place / "bench.py").write_text(BENCHMARKS.replace("warpgroup.work, size", "warpgroup.work, size, 1"))
    done = gate("run", "--json", "r.json")
    assert done.exit_code == 4
    config = timed_place / "perf-gate.toml"
    waiver = '[[waive]]\ncheck = "timed:bench.py::*"\nuntil = 2999-01-01\nreason = "a step"\n'
    config.write_text(config.read_text() + waiver)
    assert gate("run", "--json", "r.json").exit_code == 0
    assert set(outcomes(timed_place).values()) == {"waived"}


def test_outputs_that_cannot_be_written_are_refused_before_anything_is_measured(place):
    done = gate("run", "--junit", "no/such/j.xml")
    assert done.exit_code == 2
    assert "cannot write no/such/j.xml" in done.output


def test_a_repository_without_a_commit_and_a_folder_that_is_none(tmp_path, monkeypatch):
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
