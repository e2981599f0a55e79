"""What can go wrong in one of two processes; each failure is one line that names the side."""

import time
from pathlib import Path

import pytest
from support.gate_benchmarks import ON_HEAD, TWO, WORK, Bench

from warpgroup.reports.gate.broken import Broken
from warpgroup.reports.gate.classes.timed.pairs import benchmarks_of, launch


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("benchmark(lambda: 1 / 0)", "head: failed in call: ZeroDivisionError: division by zero"),
        ("benchmark(work); assert False, 'wrong bins'", "head: failed in call: AssertionError: wrong bins"),
        ("pytest.skip('no compiler')", "head: skipped in call: Skipped: no compiler"),
        ("pass", "head: uses the benchmark fixture and never calls it"),
        ("os._exit(3)", "head died with code 3"),
    ],
)
def test_a_failure_on_one_side_is_given_in_its_own_words(bench, body, said):
    text = f"{ON_HEAD}\ndef test_a(benchmark):\n    if HEAD:\n        {body}\n    else:\n        benchmark(work)\n"
    assert bench.broken(text)["test_a"].startswith(said)


def test_a_failing_benchmark_stops_no_other(bench):
    text = f"{ON_HEAD}\ndef test_0(benchmark):\n    benchmark(lambda: 1 / (1 - HEAD))\n{TWO}"
    found = bench.launch(text)
    assert (list(found.broken), len(found.samples)) == (["bench_it.py::test_0"], 2)


@pytest.mark.parametrize("reads", ["float('nan')", "0.0"])
def test_a_clock_that_reads_nonsense_is_no_measurement(bench, reads):
    text = f"""main = sys.modules["__main__"]
main.CLOCKS["thread"] = lambda: main.cpu_clock(lambda: {reads})

def test_a(benchmark):
    benchmark(work)
"""
    assert bench.broken(text)["test_a"].startswith("base and head: a call took")


def test_an_error_that_the_test_hides_is_found(bench):
    text = """def test_a(benchmark):
    try:
        benchmark(os.stat, "/no/such/file")
    except OSError:
        pass
"""
    assert bench.broken(text) == {"test_a": "the benchmark caught an error of its own"}


def test_benchmarks_after_a_crash_are_not_reached(bench):
    broken = bench.broken(f"def test_0(benchmark):\n    benchmark(os._exit, 1)\n{TWO}")
    assert broken["test_b"].startswith("not reached: base died with code 1")


def test_a_side_that_is_not_done_in_time_hangs(bench):
    text = f"{ON_HEAD}\ndef test_a(benchmark):\n    benchmark(time.sleep, 60 if HEAD else 0)\n"
    began = time.monotonic()
    assert bench.broken(text, timeout_s=3) == {"test_a": "head hangs: no answer in time"}
    assert time.monotonic() - began < 10


def test_a_renamed_benchmark_is_missing(bench):
    assert bench.broken(TWO, "test_a", "test_c") == {"test_c": "missing in base and head: renamed or deleted?"}


def test_a_benchmark_that_one_side_lacks_is_missing_there(bench):
    text = f"{ON_HEAD}{TWO}\nif HEAD:\n    def test_new(benchmark):\n        benchmark(work)\n"
    assert bench.broken(text) == {"test_new": "missing in base: renamed or deleted?"}


def test_a_file_that_cannot_be_read_breaks_its_benchmarks(bench):
    broken = bench.broken("import no_such_module\n" + TWO, "test_a")
    assert "No module named 'no_such_module'" in broken["test_a"]


def test_a_package_from_elsewhere_is_refused(bench):
    (bench.folder / "elsewhere" / "thing").mkdir(parents=True)
    (bench.folder / "elsewhere" / "thing" / "__init__.py").write_text(WORK.format(seconds=0.001))
    (bench.folder / "conftest.py").write_text(f"import sys\nsys.path.insert(0, {str(bench.folder / 'elsewhere')!r})\n")
    with pytest.raises(Broken, match="base: thing was imported from .*elsewhere.*not from its own site"):
        bench.launch(TWO)


def test_a_side_that_does_not_start_is_broken(bench):
    with pytest.raises(Broken, match="base died with code 4: .*no_such_file"):
        launch(*bench.sides, [bench.folder / "no_such_file.py"], only=None, pairs=1, root=bench.folder, timeout_s=60)


def test_files_of_the_same_name_are_refused(bench):
    other = bench.folder / "other" / "bench_it.py"
    other.parent.mkdir()
    other.write_text("from thing import work\n" + TWO)
    (bench.folder / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    with pytest.raises(Broken, match="two benchmark files have the same name"):
        benchmarks_of(bench.sides[0], [bench.write(TWO), other], root=bench.folder, timeout_s=60)


@pytest.mark.parametrize("elsewhere", ["things/inner.py", "things/__init__.py"])
def test_a_namespace_package_from_elsewhere_is_refused(bench, elsewhere):
    for side in bench.sides:
        (side.site / "things").mkdir()
        (side.site / "things" / "inner.py").write_text("")
    (bench.folder / "elsewhere" / "things").mkdir(parents=True)
    (bench.folder / "elsewhere" / elsewhere).write_text("")
    (bench.folder / "conftest.py").write_text(f"import sys\nsys.path.insert(0, {str(bench.folder / 'elsewhere')!r})\n")
    name = elsewhere.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    with pytest.raises(Broken, match=f"base: {name} was imported from .*elsewhere.*not from its own site"):
        bench.launch(f"import {name}\n{TWO}")


def test_a_namespace_package_may_have_parts_elsewhere(bench):
    for side in bench.sides:
        (side.site / "things").mkdir()
        (side.site / "things" / "inner.py").write_text("")
    (bench.folder / "elsewhere" / "things").mkdir(parents=True)
    (bench.folder / "elsewhere" / "things" / "theirs.py").write_text("")
    (bench.folder / "conftest.py").write_text(f"import sys\nsys.path.insert(0, {str(bench.folder / 'elsewhere')!r})\n")
    assert bench.broken(f"import things.inner, things.theirs\n{TWO}") == {}


def test_unknown_options_are_still_refused(bench):
    (bench.folder / "pytest.ini").write_text("[pytest]\naddopts = --benchmarks-skip\n")
    with pytest.raises(Broken, match="base died with code 4"):
        bench.launch(TWO)


@pytest.mark.parametrize(
    ("fails", "sides"), [("HEAD", ("head",)), ("not HEAD", ("base",)), ("True", ("base", "head")), ("False", ())]
)
def test_a_problem_names_the_sides_that_failed(bench, fails, sides):
    text = f"{ON_HEAD}\ndef test_a(benchmark):\n    benchmark(lambda: 1 / 0 if {fails} else work())\n"
    broken = bench.launch(text).broken
    assert [each.failed_sides for each in broken.values()] == ([sides] if sides else [])


def test_a_file_that_only_base_cannot_read_is_a_failure_of_base(bench):
    bench.sides[1] = bench.side("head", extra="\nnew = work\n")
    text = "from thing import new\n\ndef test_a(benchmark):\n    benchmark(new)\n"
    problem = bench.launch(text, "test_a").broken["bench_it.py::test_a"]
    assert problem.failed_sides == ("base",)
    assert str(problem).startswith("base: ImportError: cannot import name 'new'")
