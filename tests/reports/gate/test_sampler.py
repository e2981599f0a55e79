"""Two real processes on small benchmarks: what they measure, and everything that can go wrong in one of them."""

import threading
import time
from pathlib import Path

import pytest

from warpgroup.reports.gate.broken import Broken
from warpgroup.reports.gate.classes.timed.pairs import Launch, Side, benchmarks_of, launch

WORK = """
import time

def work(seconds={seconds}):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
"""


class Bench:
    """A benchmark file, and a package `thing` for each side."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sides = [self.side("base"), self.side("head")]

    def side(self, name: str, seconds: float = 0.0005, extra: str = "") -> Side:
        package = self.folder / name / "thing"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(WORK.format(seconds=seconds) + extra)
        return Side(name, self.folder / name)

    def write(self, text: str) -> Path:
        file = self.folder / "bench_it.py"
        file.write_text(f"import os, sys, threading, time\nimport pytest\nfrom thing import work\n{text}")
        return file

    def launch(self, text: str, *names: str, pairs: int = 2, timeout_s: float = 60) -> Launch:
        only = [f"bench_it.py::{name}" for name in names] or None
        file = self.write(text)
        return launch(*self.sides, [file], only=only, pairs=pairs, root=self.folder, timeout_s=timeout_s)

    def broken(self, text: str, *names: str, timeout_s: float = 60) -> dict[str, str]:
        found = self.launch(text, *names, timeout_s=timeout_s).broken
        return {name.removeprefix("bench_it.py::"): str(why) for name, why in found.items()}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


ON_HEAD = 'HEAD = "head" in sys.modules["thing"].__file__\n'
TWO = "def test_a(benchmark):\n    benchmark(work)\n\ndef test_b(benchmark):\n    benchmark(work, 0.001)\n"


def test_every_benchmark_is_sampled_on_both_sides_alike_often(bench):
    found = bench.launch(TWO, pairs=3)
    assert found.broken == {}
    assert {name: [len(side) for side in sides] for name, sides in found.samples.items()} == {
        "bench_it.py::test_a": [6, 6],
        "bench_it.py::test_b": [6, 6],
    }


@pytest.mark.parametrize(("head_first", "order"), [(False, "bhhbbhhb"), (True, "hbbhhbbh")])
def test_samples_are_taken_in_turn(bench, head_first, order):
    file = bench.write(
        ON_HEAD
        + """
def called():
    work(0.003)
    with open("calls.txt", "a") as file:
        file.write("h" if HEAD else "b")

def test_a(benchmark):
    benchmark(called)
"""
    )
    launch(*bench.sides, [file], only=None, pairs=2, root=bench.folder, timeout_s=60, head_first=head_first)
    filling_up = "bh"
    assert (bench.folder / "calls.txt").read_text() == filling_up + order


def test_a_side_measures_the_package_of_its_own_site(bench):
    bench.sides[1] = bench.side("head", seconds=0.0015)
    base, head = bench.launch(TWO, "test_a").samples["bench_it.py::test_a"]
    assert 2 < min(head) / min(base) < 4


def test_samples_are_seconds_a_call(bench):
    base, _ = bench.launch(TWO, "test_b").samples["bench_it.py::test_b"]
    assert min(base) == pytest.approx(0.001, rel=0.2)


def test_only_what_is_asked_for_runs(bench):
    assert list(bench.launch(TWO, "test_b").samples) == ["bench_it.py::test_b"]


def test_a_setup_is_outside_of_the_clock(bench):
    text = """def test_a(benchmark):
    benchmark.pedantic(work, setup=lambda: work(0.01) or ((0.001,), {}), rounds=5)
"""
    base, _ = bench.launch(text).samples["bench_it.py::test_a"]
    assert min(base) < 0.005


def test_both_sides_make_the_same_calls(bench):
    text = (
        ON_HEAD
        + """
def test_a(benchmark, calls=[]):
    benchmark(lambda: (calls.append(1), work(0.0003 if HEAD else 0.0001)))
    with open("calls.txt", "a") as file:
        file.write(f"{len(calls)}\\n")
"""
    )
    bench.launch(text)
    base, head = (bench.folder / "calls.txt").read_text().split()
    assert base == head


def test_the_process_clock_counts_all_threads(bench):
    text = """
def both():
    threads = [threading.Thread(target=work, args=(0.003,)) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

def test_thread(benchmark):
    benchmark(both)

@pytest.mark.gate_clock("process")
def test_process(benchmark):
    benchmark(both)
"""
    samples = bench.launch(text).samples
    assert min(samples["bench_it.py::test_thread"][0]) < 0.003
    assert min(samples["bench_it.py::test_process"][0]) > 0.005


TORCH = """
import pathlib

__version__ = "2.0"
SIDE = pathlib.Path(__file__).parent.name
OTHER = "base" if SIDE == "head" else "head"
queue, now_ms = [], 0.0

def launch(ms):
    queue.append(ms)
    pathlib.Path(SIDE + ".queue").write_text(str(len(queue)))

def queued_by_the_other():
    return int(pathlib.Path(OTHER + ".queue").read_text())

class cuda:
    def is_available():
        return True

    def synchronize():
        global now_ms
        for work in queue:
            if isinstance(work, cuda.Event):
                work.at_ms = now_ms
            else:
                now_ms += work
        queue.clear()
        pathlib.Path(SIDE + ".queue").write_text("0")

    class Event:
        at_ms = None

        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            queue.append(self)

        def elapsed_time(self, end):
            return end.at_ms - self.at_ms
"""
"""A GPU whose clock advances only by launched work, which runs when the caller synchronizes."""

CUDA = 'import torch\npytestmark = pytest.mark.gate_clock("cuda")\n'


@pytest.fixture
def gpu(bench) -> Bench:
    for side in bench.sides:
        (side.site / "torch.py").write_text(TORCH)
    return bench


def test_the_cuda_clock_is_the_gpus_and_not_the_cpus(gpu):
    text = f"{ON_HEAD}{CUDA}\ndef test_a(benchmark):\n    benchmark(lambda: (work(0.02), torch.launch(3 + HEAD)))\n"
    found = gpu.launch(text)
    assert found.samples == {"bench_it.py::test_a": ([pytest.approx(0.003)] * 4, [pytest.approx(0.004)] * 4)}


def test_a_sample_is_filled_by_the_clock_that_counts(gpu):
    text = f"""{CUDA}
def test_a(benchmark, calls=[]):
    benchmark(lambda: (calls.append(1), work(0.001), torch.launch(0.3)))
    with open("calls.txt", "a") as file:
        file.write(f"{{len(calls)}}\\n")
"""
    base, _ = gpu.launch(text).samples["bench_it.py::test_a"]
    assert base == [pytest.approx(0.0003)] * 4
    filling_up, a_sample = 1 + 2 + 4 + 8, 8
    assert (gpu.folder / "calls.txt").read_text().split() == [str(filling_up + 4 * a_sample)] * 2


def test_neither_side_has_work_on_the_gpu_while_the_other_is_sampled(gpu):
    text = f"""{CUDA}
def called():
    torch.launch(3)
    assert torch.queued_by_the_other() == 0

def test_alone(benchmark):
    torch.launch(100)
    benchmark(called)

def test_with_a_teardown(benchmark):
    benchmark.pedantic(called, setup=lambda: torch.launch(100), teardown=lambda: torch.launch(100))
"""
    found = gpu.launch(text)
    assert (found.broken, len(found.samples)) == ({}, 2)


def test_what_setup_and_teardown_launch_is_not_of_the_call(gpu):
    text = f"""{CUDA}
def setup():
    assert 3 not in torch.queue  # the call before is over
    torch.launch(100)

def called():
    assert 100 not in torch.queue
    torch.launch(3)

def test_a(benchmark):
    benchmark.pedantic(called, setup=setup, teardown=lambda: torch.launch(50))
"""
    found = gpu.launch(text)
    assert found.samples == {"bench_it.py::test_a": ([pytest.approx(0.003)] * 4,) * 2}


def test_a_launch_says_by_which_clock_it_measured(gpu):
    marked = "@pytest.mark.gate_clock('cuda')\ndef test_c(benchmark):\n    benchmark(torch.launch, 3)\n"
    clocks = gpu.launch(f"import torch\n{TWO}\n{marked}").clocks
    assert clocks == {"bench_it.py::test_a": "thread", "bench_it.py::test_b": "thread", "bench_it.py::test_c": "cuda"}


@pytest.mark.parametrize(
    ("clock", "torch", "said"),
    [
        (
            '"cuda"',
            "raise ModuleNotFoundError('no torch')",
            'gate_clock("cuda") needs torch, which cannot be imported: no torch; install it',
        ),
        (
            '"cuda"',
            TORCH.replace("return True", "return False"),
            'gate_clock("cuda") needs a GPU, and torch 2.0 can use none here: run this gate on a machine '
            "with a GPU, or remove the file from [timed]",
        ),
        ('"wall"', "", 'there is no gate_clock("wall"): choose one of thread, process, cuda'),
        ('name="cud"', "", 'there is no gate_clock("cud"): choose one of thread, process, cuda'),
        ("", "", 'there is no gate_clock(""): choose one of thread, process, cuda'),
    ],
)
def test_a_clock_that_is_not_there_breaks_its_benchmark_in_one_line(bench, clock, torch, said):
    for side in bench.sides:
        (side.site / "torch.py").write_text(torch)
    text = f"{TWO}\n@pytest.mark.gate_clock({clock})\ndef test_c(benchmark):\n    benchmark(work)\n"
    found = bench.launch(text)
    assert (list(found.broken), len(found.samples)) == (["bench_it.py::test_c"], 2)
    assert str(found.broken["bench_it.py::test_c"]) == f"base and head: failed in setup: {said}"


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
def test_what_goes_wrong_on_one_side_is_said_in_its_own_words(bench, body, said):
    text = f"{ON_HEAD}\ndef test_a(benchmark):\n    if HEAD:\n        {body}\n    else:\n        benchmark(work)\n"
    assert bench.broken(text)["test_a"].startswith(said)


def test_one_that_fails_does_not_take_the_others_along(bench):
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


def test_what_comes_after_a_death_was_not_reached(bench):
    broken = bench.broken(f"def test_0(benchmark):\n    benchmark(os._exit, 1)\n{TWO}")
    assert broken["test_b"].startswith("not reached: base died with code 1")


def test_who_is_not_done_in_time_hangs(bench):
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


def test_a_side_that_does_not_start_is_the_harness_problem(bench):
    with pytest.raises(Broken, match="base died with code 4: .*no_such_file"):
        launch(*bench.sides, [bench.folder / "no_such_file.py"], only=None, pairs=1, root=bench.folder, timeout_s=60)


def test_files_of_the_same_name_are_refused(bench):
    other = bench.folder / "other" / "bench_it.py"
    other.parent.mkdir()
    other.write_text("from thing import work\n" + TWO)
    (bench.folder / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    with pytest.raises(Broken, match="two benchmark files have the same name"):
        benchmarks_of(bench.sides[0], [bench.write(TWO), other], root=bench.folder, timeout_s=60)


def test_what_there_is_can_be_asked_for(bench):
    names, unread = benchmarks_of(bench.sides[1], [bench.write(TWO)], root=bench.folder, timeout_s=60)
    assert (names, unread) == (["bench_it.py::test_a", "bench_it.py::test_b"], {})


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


def test_a_namespace_package_that_others_add_to_is_no_stranger(bench):
    for side in bench.sides:
        (side.site / "things").mkdir()
        (side.site / "things" / "inner.py").write_text("")
    (bench.folder / "elsewhere" / "things").mkdir(parents=True)
    (bench.folder / "elsewhere" / "things" / "theirs.py").write_text("")
    (bench.folder / "conftest.py").write_text(f"import sys\nsys.path.insert(0, {str(bench.folder / 'elsewhere')!r})\n")
    assert bench.broken(f"import things.inner, things.theirs\n{TWO}") == {}


@pytest.mark.parametrize(
    "options",
    [
        "--benchmark-skip",
        "--benchmark-autosave --benchmark-columns=min,max",
        "--benchmark-storage kept --benchmark-only",
    ],
)
def test_pytest_benchmarks_own_options_change_nothing(bench, options):
    (bench.folder / "pytest.ini").write_text(f"[pytest]\naddopts = {options}\n")
    found = bench.launch(TWO)
    assert (found.broken, len(found.samples)) == ({}, 2)


def test_other_options_that_nobody_knows_are_still_refused(bench):
    (bench.folder / "pytest.ini").write_text("[pytest]\naddopts = --benchmarks-skip\n")
    with pytest.raises(Broken, match="base died with code 4"):
        bench.launch(TWO)


def test_no_process_is_left(bench):
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    before = children.read_text()
    bench.launch(TWO)
    assert children.read_text() == before
