"""The clocks of benchmarks: threads, the process, and a GPU (here one that is simulated)."""

from pathlib import Path

import pytest
from support.gate_benchmarks import ON_HEAD, TWO, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


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


def test_the_cuda_clock_measures_the_gpu_and_not_the_cpu(gpu):
    text = f"{ON_HEAD}{CUDA}\ndef test_a(benchmark):\n    benchmark(lambda: (work(0.02), torch.launch(3 + HEAD)))\n"
    found = gpu.launch(text)
    assert found.samples == {"bench_it.py::test_a": ([pytest.approx(0.003)] * 4, [pytest.approx(0.004)] * 4)}


def test_a_sample_is_filled_by_the_time_of_its_own_clock(gpu):
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


def test_work_launched_by_setup_and_teardown_is_not_timed(gpu):
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


def test_a_launch_names_the_clock_of_each_benchmark(gpu):
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
def test_a_missing_clock_breaks_its_benchmark_in_one_line(bench, clock, torch, said):
    for side in bench.sides:
        (side.site / "torch.py").write_text(torch)
    text = f"{TWO}\n@pytest.mark.gate_clock({clock})\ndef test_c(benchmark):\n    benchmark(work)\n"
    found = bench.launch(text)
    assert (list(found.broken), len(found.samples)) == (["bench_it.py::test_c"], 2)
    assert str(found.broken["bench_it.py::test_c"]) == f"base and head: failed in setup: {said}"
