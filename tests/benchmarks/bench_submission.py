"""Measures the time to submit a request from Python, and that of Python's own queues in the same run.

    pytest -s tests/benchmarks/bench_submission.py --benchmark-timer=time.perf_counter

`submission_bench` of the release preset (csrc/CMakePresets.json) measures the queue alone, from C++. A round submits as
many requests as the queue holds; making, touching and emptying the queue and its memory is not measured.
"""

import asyncio
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np
import pytest
from support.slabs import NO_PIECES, decode_slab

from warpgroup.csrc import (
    ArrivalQueue,
    AttentionCut,
    BlockManager,
    Intake,
    MemoryModel,
    Recorder,
    RooflineStepTime,
    Scheduler,
    SimulatedEngine,
    SlabShape,
    StepBuilder,
    StepStager,
    StepWorker,
    parse_policy,
)
from warpgroup.experiment import geometry_of
from warpgroup.workloads import load_model

REQUESTS, PROMPT = 4096, 1000
PAGES = -(-PROMPT // 256)


def intake(memory: np.ndarray) -> Intake:
    return Intake(REQUESTS, memory)


@pytest.fixture(scope="module")
def memory() -> np.ndarray:
    return np.ones(REQUESTS * PAGES * 256, dtype=np.int32)


def per_request(benchmark, count: int) -> None:
    benchmark.extra_info["ns_a_request"] = round(benchmark.stats.stats.median / count * 1e9, 1)


@pytest.mark.parametrize("kind", ["int32", "int64", "dlpack"])
def test_submit(benchmark, memory, kind):
    """One thread, 1,000 tokens a request."""
    prompt = np.arange(PROMPT, dtype="int64" if kind == "int64" else "int32")
    if kind == "dlpack":
        values = prompt
        prompt = type("Tensor", (), {"__dlpack__": lambda self, **given: values.__dlpack__(**given),
                                     "__dlpack_device__": lambda self: values.__dlpack_device__()})()  # fmt: skip

    def submit(target: Intake) -> None:
        for _ in range(REQUESTS):
            target.submit(prompt, 100)

    benchmark.pedantic(submit, setup=lambda: ((intake(memory),), {}), rounds=20, warmup_rounds=2)
    per_request(benchmark, REQUESTS)


def test_submit_latency(memory):
    """Prints percentiles of single calls; they include the 40 to 80 ns of the clock itself."""
    prompt, took = np.arange(PROMPT, dtype=np.int32), []
    for _ in range(5):
        target = intake(memory)
        for _ in range(REQUESTS):
            start = time.perf_counter_ns()
            target.submit(prompt, 100)
            took.append(time.perf_counter_ns() - start)
    print(f"submit: p50 {np.percentile(took, 50):.0f} ns, p99 {np.percentile(took, 99):.0f} ns")


@pytest.mark.parametrize("length", [1, 100, 1000])
def test_submit_many(benchmark, memory, length):
    """A whole trace as arrays; `copy_ns` is the time to copy its tokens alone."""
    tokens = np.ones(REQUESTS * length, dtype=np.int32)
    columns = {
        "tokens": tokens,
        "prompt_tokens": np.full(REQUESTS, length),
        "max_new_tokens": np.ones(REQUESTS, dtype=np.int64),
        "arrival_ns": np.zeros(REQUESTS, dtype=np.int64),
        "output_tokens": np.zeros(REQUESTS, dtype=np.int64),
    }

    def submit(target: Intake) -> None:
        target.submit_many(**columns)

    benchmark.pedantic(submit, setup=lambda: ((intake(memory),), {}), rounds=50, warmup_rounds=3)
    per_request(benchmark, REQUESTS)
    other, took = np.ones_like(tokens), []
    for _ in range(20):
        start = time.perf_counter()
        other[:] = tokens
        took.append(time.perf_counter() - start)
    benchmark.extra_info["copy_ns"] = round(float(np.median(took)) / REQUESTS * 1e9, 1)


@pytest.mark.parametrize("kind", ["Intake", "SimpleQueue", "deque and lock", "asyncio.Queue"])
def test_beside_pythons_queues(benchmark, memory, kind):
    """Requests of one token: the cost of the queue without that of the prompt."""
    prompt = np.ones(1, dtype=np.int32)
    lock = threading.Lock()

    def locked(target: deque) -> None:
        with lock:
            target.append(prompt)

    make = {"Intake": lambda: intake(memory), "SimpleQueue": queue.SimpleQueue, "deque and lock": deque,
            "asyncio.Queue": asyncio.Queue}[kind]  # fmt: skip
    put = {"Intake": lambda target: target.submit(prompt, 1), "SimpleQueue": lambda target: target.put(prompt),
           "deque and lock": locked, "asyncio.Queue": lambda target: target.put_nowait(prompt)}[kind]  # fmt: skip

    def submit(target) -> None:
        for _ in range(REQUESTS):
            put(target)

    benchmark.pedantic(submit, setup=lambda: ((make(),), {}), rounds=30, warmup_rounds=2)
    per_request(benchmark, REQUESTS)


def scheduler() -> Scheduler:
    memory = MemoryModel.for_blocks(
        geometry_of(load_model("qwen2.5-7b")), blocks=62 * 1024, context_bytes=0, block_tokens=16,
        step_tokens=1 << 20, max_seqs=1024,
    )  # fmt: skip
    return Scheduler(parse_policy("paged").build(), memory, max_seqs=1024, step_tokens=1 << 20)


def test_drain(benchmark, memory):
    """Requests go into the scheduler, and their prompts into the token log."""
    prompt = np.arange(PROMPT, dtype=np.int32)
    log, starts = np.ones(REQUESTS * PROMPT, dtype=np.int32), np.arange(REQUESTS, dtype=np.int64) * PROMPT

    def full():
        target = intake(memory)
        for _ in range(REQUESTS):
            target.submit(prompt, 100)
        return (target, scheduler()), {}

    benchmark.pedantic(lambda target, into: target.drain(into, log, starts), setup=full, rounds=20, warmup_rounds=2)
    per_request(benchmark, REQUESTS)


class Busy:
    """A worker with 256 running requests, driven as fast as possible: a replay without the device."""

    def __init__(self, requests: int = 256, prompt: int = 64, output: int = 100_000) -> None:
        ends = np.full(requests, prompt + output, dtype=np.int64)
        self.starts = np.cumsum(ends) - ends
        self.log = np.zeros(int(ends.sum()) + 1, dtype=np.int32)
        self.scheduler = scheduler()
        block_manager = BlockManager(seats=requests, width=6300, block_tokens=16)
        block_manager.resize(62 * 1024)
        self.builder = StepBuilder(
            log=self.log, starts=self.starts, prompt_tokens=np.full(requests, prompt), ends=ends,
            block_manager=block_manager, seed=0, padded=False,
        )  # fmt: skip
        self.intake = intake(np.zeros(requests * 256, dtype=np.int32))
        for _ in range(requests):
            self.intake.submit(np.zeros(prompt, dtype=np.int32), output)
        stager = StepStager(self.builder, width=6300, captured=[SlabShape(requests, 0, 0, 0, 0, requests, 64)])
        self.worker = StepWorker(
            self.intake, self.scheduler, stager, log=self.log, starts=self.starts, zero_ns=time.perf_counter_ns()
        )
        self.slab = np.zeros(1 << 20, dtype=np.int32)
        self.steps = 0

    def step(self) -> None:
        self.worker.begin(self.slab)
        self.worker.take()
        self.scheduler.commit(1, self.builder.launched().finished)
        self.steps += 1


def counted(seconds: float) -> float:
    """Rounds a second of a loop in pure Python."""
    end, rounds = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        for _ in range(100):
            rounds += 1
    return rounds / seconds


def planned_alone() -> Callable[[], int]:
    """A function that makes plans of 256 running requests without giving any to Python; it returns how many."""
    requests, plans = 256, 1000
    planner = SimulatedEngine(
        arrivals=ArrivalQueue(arrival_ns=np.zeros(requests)), prompt_tokens=np.full(requests, 64),
        output_tokens=np.full(requests, 1 << 40), max_new_tokens=1 << 40, scheduler=scheduler(),
        step_time=RooflineStepTime(weights_fs=1, token_fs=0, sample_fs=0, fresh_pair_fs=0, continued_pair_fs=0,
                                   chunk_context_fs=0, context_fs=0, swap_fs=0, overhead_fs=1),
        recorder=Recorder(requests, 1 << 40), macro_steps=False,
    )  # fmt: skip

    def make() -> int:
        planner.advance(until_ns=-1, plans=plans)
        return plans

    return make


def paced(step: Callable[[], object], pause_s: float) -> Callable[[], int]:
    """A function that makes one round, and then pauses."""

    def make() -> int:
        step()
        if pause_s:
            time.sleep(pause_s)
        return 1

    return make


DRIVEN: dict[str, Callable[[], Callable[[], int]]] = {
    "planning alone": planned_alone,
    "worker, no pause": lambda: paced(Busy().step, 0),
    "worker, 1 ms apart": lambda: paced(Busy().step, 1e-3),
    "sleeps 60 us at a time": lambda: paced(lambda: None, 60e-6),
}


@pytest.mark.parametrize("interval_s", [0.005, 0.0005], ids=["Python's switch interval", "that of replays"])
@pytest.mark.parametrize("kind", DRIVEN)
def test_a_python_thread_beside_the_worker(kind, interval_s):
    """Prints how much a thread in pure Python slows down beside a worker and the thread that drives it.

    Planning alone never passes the GIL. A thread that only sleeps, for as long as a plan takes, passes the GIL as often
    as one that drives a worker: its loss is the cost of Python itself.
    """
    make, stop, rounds = DRIVEN[kind](), threading.Event(), 0

    def drive() -> None:
        nonlocal rounds
        while not stop.is_set():
            rounds += make()

    before_s = sys.getswitchinterval()
    sys.setswitchinterval(interval_s)
    alone, beside, rates = [], [], []
    for _ in range(40):  # short slots in turn, so that disturbances of the machine hit both alike
        alone.append(counted(0.1))
        stop.clear()
        thread = threading.Thread(target=drive)
        thread.start()
        before = rounds
        beside.append(counted(0.1))
        rates.append((rounds - before) / 0.1)
        stop.set()
        thread.join()
    sys.setswitchinterval(before_s)
    lost = 1 - float(np.quantile(beside, 0.9)) / float(
        np.quantile(alone, 0.9)
    )  # the fast slots are the least disturbed
    print(f"{kind}, {interval_s * 1e3:g} ms: loses {lost:.1%} at {np.median(rates):.0f} rounds a second")


@pytest.mark.parametrize("rows", [32, 256, 1024])
def test_slab_of_a_decode_step(benchmark, rows):
    rng = np.random.default_rng(0)
    writer, slab, shape = decode_slab(rng, rows)
    benchmark(writer.write, slab, shape, rng.permutation(rows).astype(np.int64), NO_PIECES, 0)


@pytest.mark.parametrize("rows", [32, 256, 1024])
def test_parts_of_a_decode_step(benchmark, rows):
    lengths = np.clip(np.random.default_rng(0).lognormal(6.7, 0.5, rows), 16, 6000).astype(np.int64)
    hands = 132
    items = np.zeros(AttentionCut.most_items(rows, hands) * AttentionCut.ITEM, dtype=np.int32)
    edges = np.zeros(rows + 1, dtype=np.int32)
    benchmark(AttentionCut().rows, lengths, hands, items, edges)
