"""`warpgroup gate` on timed benchmarks: two commits of a package of one module are built and measured."""

import json
from pathlib import Path

import pytest
from support.gate_repository import checks_in, gate, git, make_repository

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
def place(tmp_path, monkeypatch):
    """A package of one module whose benchmarks are gated; the working tree may differ from its first commit."""
    place = tmp_path
    monkeypatch.chdir(place)
    make_repository(place)
    (place / "pyproject.toml").write_text(PACKAGE + '[project]\nname = "warpgroup"\nversion = "0.0.1"\n')
    (place / "nothing_to_build.py").write_text(BACKEND)
    (place / "warpgroup.py").write_text("def work(size):\n    return sum(range(size))\n")
    (place / "bench.py").write_text(BENCHMARKS)
    (place / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    timed = 'files = ["bench.py"]\nlaunches = [3, 30]\npairs = 4\nfail_above = "60%"\n'
    (place / "perf-gate.toml").write_text("budget_s = 120\n[timed]\n" + timed)
    (place / "baselines").mkdir()
    (place / "baselines" / "timed.json").write_text('["bench.py::test_work[2000]", "bench.py::test_work[3000]"]')
    git(place, "add", "-A")
    git(place, "commit", "-q", "-m", "timed")
    git(place, "commit", "-q", "--allow-empty", "-m", "what is gated")
    return place


def outcomes(place: Path) -> dict[str, str]:
    checks = checks_in(place / "r.json")
    return {check["name"]: check["outcome"] for check in checks}


def test_base_and_head_are_built_and_a_slow_down_is_found(place):
    (place / "warpgroup.py").write_text("def work(size):\n    return sum(range(4 * size))\n")
    done = gate("run", "--json", "r.json")
    assert done.exit_code == 1, done.output
    assert set(outcomes(place).values()) == {"regressed"}


@pytest.mark.parametrize("lazily", [False, True])
def test_a_package_imported_from_the_tree_is_4_because_it_would_be_measured_twice(place, lazily):
    (place / "pytest.ini").write_text("[pytest]\n")
    if lazily:
        late = "import warpgroup\n    benchmark(warpgroup"
        text = BENCHMARKS.replace("import pytest, warpgroup", "import pytest").replace("benchmark(warpgroup", late)
        (place / "bench.py").write_text(text)
    done = gate("run", "--json", "r.json")
    assert done.exit_code == 4
    checks = checks_in(place / "r.json")
    assert all("warpgroup was imported from" in check["detail"] for check in checks)


def test_a_benchmark_that_crashes_in_head_alone_is_4(place):
    (place / "warpgroup.py").write_text("def work(size):\n    return sum(range(size)) / (size - 2000)\n")
    done = gate("run", "--json", "r.json", "--budget", "1")
    assert done.exit_code == 4
    (broken,) = [check for check in checks_in(place / "r.json") if check["outcome"] == "broken"]
    assert (broken["name"], broken["failed_sides"]) == ("bench.py::test_work[2000]", ["head"])


@pytest.mark.parametrize(
    ("clock", "said"),
    [
        ("cuda", "needs torch, which cannot be imported: import of torch halted; None in sys.modules; install it"),
        ("wall", "choose one of thread, process, cuda"),
    ],
)
def test_a_missing_clock_is_4_with_one_line(place, clock, said):
    (place / "conftest.py").write_text("import sys\nsys.modules['torch'] = None\n")
    marked = f'@pytest.mark.gate_clock("{clock}")\n@pytest.mark.parametrize'
    (place / "bench.py").write_text(BENCHMARKS.replace("@pytest.mark.parametrize", marked))
    done = gate("run", "--json", "r.json")
    assert done.exit_code == 4
    details = {check["detail"] for check in checks_in(place / "r.json")}
    assert len(details) == 1
    assert details.pop().endswith(said)


def test_a_deleted_benchmark_is_4_until_that_is_accepted(place):
    (place / "bench.py").write_text(BENCHMARKS.replace("[2000, 3000]", "[3000, 4000]"))
    assert gate("run", "--json", "r.json", "--budget", "1").exit_code == 4
    checks = checks_in(place / "r.json")
    broken = {check["name"]: check["detail"] for check in checks if check["outcome"] == "broken"}
    assert "renamed or deleted" in broken["bench.py::test_work[2000]"]
    assert "is not in the baseline" in broken["bench.py::test_work[4000]"]
    accepted = gate("accept", "--reason", "other sizes")
    assert accepted.exit_code == 0, accepted.output
    gate("run", "--json", "r.json", "--budget", "1")
    assert "broken" not in outcomes(place).values()


def test_a_benchmark_of_new_code_is_reported(place):
    (place / "warpgroup.py").write_text("def work(size):\n    return sum(range(size))\n\n\nplay = work\n")
    more = "def test_play(benchmark):\n    benchmark(warpgroup.play, 2000)\n"
    (place / "bench.py").write_text(BENCHMARKS + "\n\n" + more)
    assert gate("accept", "--reason", "play").exit_code == 0
    done = gate("run", "--json", "r.json")
    assert done.exit_code == 0, done.output
    assert outcomes(place)["bench.py::test_play"] == "reported"


def test_too_little_time_to_decide_is_3(place):
    config = place / "perf-gate.toml"
    config.write_text(config.read_text().replace("[3, 30]", "[30, 30]"))
    done = gate("run", "--json", "r.json", "--budget", "1")
    assert done.exit_code == 3, done.output
    assert set(outcomes(place).values()) == {"inconclusive"}


def test_a_threshold_that_this_machine_cannot_detect_is_refused(place):
    calibrated = gate("calibrate", "--launches", "16")
    assert calibrated.exit_code == 0, calibrated.output
    calibration = place / "build" / "gate" / "calibration.json"
    found = json.loads(calibration.read_text())
    assert set(found["detectable"]) == {"bench.py::test_work[2000]", "bench.py::test_work[3000]"}
    found["detectable"]["bench.py::test_work[2000]"] = 0.9
    calibration.write_text(json.dumps(found))
    done = gate("run")
    assert done.exit_code == 2
    assert "detects no change below 90.0%" in " ".join(done.output.split())


def test_an_intended_change_that_base_cannot_run_may_be_waived(place):
    (place / "warpgroup.py").write_text("def work(size, step):\n    return sum(range(0, size, step))\n")
    (place / "bench.py").write_text(BENCHMARKS.replace("warpgroup.work, size", "warpgroup.work, size, 1"))
    done = gate("run", "--json", "r.json")
    assert done.exit_code == 4
    config = place / "perf-gate.toml"
    waiver = '[[waive]]\ncheck = "timed:bench.py::*"\nuntil = 2999-01-01\nreason = "a step"\n'
    config.write_text(config.read_text() + waiver)
    assert gate("run", "--json", "r.json").exit_code == 0
    assert set(outcomes(place).values()) == {"waived"}
