"""What two processes measure: the samples of small benchmarks on both sides."""

import threading
from pathlib import Path

import pytest
from support.gate_benchmarks import ON_HEAD, TWO, Bench

from warpgroup.reports.gate.classes.timed.pairs import benchmarks_of, launch


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_every_benchmark_has_equally_many_samples_on_both_sides(bench):
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


def test_only_the_wanted_benchmarks_run(bench):
    assert list(bench.launch(TWO, "test_b").samples) == ["bench_it.py::test_b"]


def test_a_setup_is_not_timed(bench):
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


def test_the_names_of_the_benchmarks_can_be_listed(bench):
    names, unread = benchmarks_of(bench.sides[1], [bench.write(TWO)], root=bench.folder, timeout_s=60)
    assert (names, unread) == (["bench_it.py::test_a", "bench_it.py::test_b"], {})


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


def test_no_process_is_left(bench):
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    before = children.read_text()
    bench.launch(TWO)
    assert children.read_text() == before
