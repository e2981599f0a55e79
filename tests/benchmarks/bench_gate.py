"""Measures the CPU time of the hot paths, called from Python; the benchmarks of perf-gate.toml.

    pytest tests/benchmarks/bench_gate.py --benchmark-timer=time.thread_time

A call is short enough for a sample of 2 ms. Inputs differ within a call or from call to call, because the branch
predictor learns a repeated input, and the time would then be too short.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import cycle

import numpy as np
import pytest
from support.slabs import NO_PIECES, decode_slab

from warpgroup.csrc import (
    AttentionCut,
    BinPacker,
    Intake,
    MemoryModel,
    ModelGeometry,
    RooflineStepTime,
    Scheduler,
    StepPlan,
    StepWork,
    pack,
    parse_policy,
)

REQUESTS = 256
INPUTS = 20
"""Inputs of a call, or of successive calls. A build that is slower by 5 % repeats every 20th call of `pack`."""
GEOMETRY = ModelGeometry(
    layers=28, hidden=3584, query_heads=28, kv_heads=4, head_dim=128, intermediate=18_944, vocab=152_064
)

LENGTHS: dict[str, tuple[int, Callable[[np.random.Generator, int], np.ndarray]]] = {
    "lognormal": (16_384, lambda rng, count: np.clip(rng.lognormal(6.0, 1.0, count), 1, 16_384)),
    "uniform": (150, lambda rng, count: rng.integers(20, 101, count)),
    "bimodal": (4096, lambda rng, count: np.where(rng.random(count) < 0.8, 100, 3000) + rng.integers(0, 900, count)),
}


def draws(kind: str, count: int) -> tuple[int, list[np.ndarray]]:
    """A capacity, and `INPUTS` inputs of `count` lengths each."""
    capacity, draw = LENGTHS[kind]
    return capacity, [draw(np.random.default_rng(seed), count).astype(np.int64) for seed in range(INPUTS)]


def each_in_turn(calls: Iterable[Callable[[], object]]) -> Callable[[], object]:
    """A function that makes the next of some calls each time."""
    turn = cycle(calls)
    return lambda: next(turn)()


def all_at_once(function: Callable[..., object], inputs: Sequence[tuple]) -> Callable[[], None]:
    """A function that calls `function` on every input."""

    def through() -> None:
        for given in inputs:
            function(*given)

    return through


def memory(blocks: int, max_seqs: int) -> MemoryModel:
    return MemoryModel.for_blocks(
        GEOMETRY, blocks=blocks, context_bytes=0, block_tokens=16, step_tokens=1 << 20, max_seqs=max_seqs
    )


def scheduler(policy: str, running: int) -> Scheduler:
    return Scheduler(parse_policy(policy).build(), memory(62 * running, running), max_seqs=running, step_tokens=1 << 20)


@pytest.mark.parametrize("algorithm", ["ffd", "bfd", "nfd", "first-fit", "best-fit", "next-fit"])
def test_pack(benchmark, algorithm):
    capacity, inputs = draws("lognormal", 1000)
    benchmark(all_at_once(pack, [(lengths, capacity, algorithm) for lengths in inputs]))


@pytest.mark.parametrize("kind", ["uniform", "bimodal"])
@pytest.mark.parametrize("algorithm", ["ffd", "bfd"])
def test_pack_other_lengths(benchmark, algorithm, kind):
    capacity, inputs = draws(kind, 1000)
    benchmark(all_at_once(pack, [(lengths, capacity, algorithm) for lengths in inputs]))


@pytest.mark.parametrize("count", [64, 20_000])
def test_pack_other_sizes(benchmark, count):
    capacity, inputs = draws("lognormal", count)
    benchmark(each_in_turn(partial(pack, lengths, capacity, "ffd") for lengths in inputs))


@pytest.mark.parametrize("algorithm", ["first-fit", "best-fit"])
def test_extend(benchmark, algorithm):
    capacity, inputs = draws("lognormal", 1000)
    turn = cycle(inputs)
    benchmark.pedantic(BinPacker.extend, setup=lambda: ((BinPacker(capacity, algorithm), next(turn)), {}), rounds=50)


class Server:
    """A scheduler with the least executor that keeps it busy."""

    def __init__(self, policy: str, running: int = 64) -> None:
        self.scheduler = scheduler(policy, running)
        self.running = running
        self.rng = np.random.default_rng(0)
        self.left: dict[int, int] = {}
        self.outputs: list[int] = []
        self.plan: StepPlan | None = None
        for _ in range(300):
            self.commit()
            self.plan = self.scheduler.plan(0)

    def submit(self, count: int) -> None:
        for prompt, output in self.rng.integers((100, 1), (900, 300), (count, 2)).tolist():
            self.scheduler.submit(
                len(self.outputs), arrival_ns=0, prompt_tokens=prompt, max_new_tokens=300, output_tokens=output
            )
            self.outputs.append(output)

    def commit(self) -> None:
        """Commit the step that was planned last, and refill the queue."""
        if self.plan is not None:
            for evicted in self.plan.evicted:
                self.left.pop(evicted.id, None)
            for joined in self.plan.joined:
                self.left[joined.id] = self.outputs[joined.id] - joined.generated + 1
            stepped = [*self.plan.decode, *(joined.id for joined in self.plan.joined)]
            for request in stepped:
                self.left[request] -= 1
            finished = [request for request in stepped if not self.left[request]]
            for request in finished:
                del self.left[request]
            self.scheduler.commit(1, finished)
        if self.scheduler.waiting < 4 * self.running:
            self.submit(self.running)


@pytest.mark.parametrize("policy", ["paged", "ffd", "skyline", "past-future"])
def test_plan(benchmark, policy):
    """Plans of a saturated run, in which requests finish and others are considered all the time."""
    server = Server(policy)

    def plan() -> None:
        server.plan = server.scheduler.plan(0)

    benchmark.pedantic(plan, setup=server.commit, rounds=100)


@pytest.mark.parametrize("policy", ["paged", "skyline"])
def test_submit_to_scheduler(benchmark, policy):
    prompts = np.random.default_rng(0).integers(1, 900, 500).tolist()

    def submit(target: Scheduler) -> None:
        for request, prompt in enumerate(prompts):
            target.submit(request, arrival_ns=0, prompt_tokens=prompt, max_new_tokens=100)

    benchmark.pedantic(submit, setup=lambda: ((scheduler(policy, 64),), {}), rounds=20)


@pytest.fixture
def prompts() -> list[np.ndarray]:
    lengths = np.random.default_rng(0).integers(1, 1000, REQUESTS).tolist()
    return [np.arange(length, dtype=np.int32) for length in lengths]


@pytest.fixture
def intake() -> Callable[[], Intake]:
    pages = np.ones(REQUESTS * 4 * 256, dtype=np.int32)
    return lambda: Intake(REQUESTS, pages)


def submit_all(target: Intake, prompts: list[np.ndarray]) -> None:
    for prompt in prompts:
        target.submit(prompt, 100)


def test_submit_to_intake(benchmark, intake, prompts):
    benchmark.pedantic(submit_all, setup=lambda: ((intake(), prompts), {}), rounds=20)


def test_submit_many(benchmark, intake, prompts):
    columns = {
        "tokens": np.concatenate(prompts),
        "prompt_tokens": np.array([len(prompt) for prompt in prompts], dtype=np.int64),
        "max_new_tokens": np.full(REQUESTS, 100, dtype=np.int64),
        "arrival_ns": np.zeros(REQUESTS, dtype=np.int64),
        "output_tokens": np.zeros(REQUESTS, dtype=np.int64),
    }
    benchmark.pedantic(lambda target: target.submit_many(**columns), setup=lambda: ((intake(),), {}), rounds=20)


def test_drain(benchmark, intake, prompts):
    log, starts = np.ones(REQUESTS * 1000, dtype=np.int32), np.arange(REQUESTS, dtype=np.int64) * 1000

    def full() -> tuple[tuple, dict]:
        target = intake()
        submit_all(target, prompts)
        return (target, scheduler("paged", 64), log, starts), {}

    benchmark.pedantic(Intake.drain, setup=full, rounds=20)


@pytest.mark.parametrize("rows", [32, 256])
def test_slab_of_a_decode_step(benchmark, rows):
    rng = np.random.default_rng(0)
    writer, slab, shape = decode_slab(rng, rows)
    orders = [rng.permutation(rows).astype(np.int64) for _ in range(INPUTS)]
    benchmark(all_at_once(writer.write, [(slab, shape, order, NO_PIECES, 0) for order in orders]))


def test_attention_cut_of_rows(benchmark):
    rng, rows, hands = np.random.default_rng(0), 256, 132
    items = np.zeros(AttentionCut.most_items(rows, hands) * AttentionCut.ITEM, dtype=np.int32)
    edges = np.zeros(rows + 1, dtype=np.int32)
    lengths = [np.clip(rng.lognormal(6.7, 0.5, rows), 16, 6000).astype(np.int64) for _ in range(INPUTS)]
    benchmark(all_at_once(AttentionCut().rows, [(each, hands, items, edges) for each in lengths]))


def test_activation(benchmark):
    model = memory(4000, 256)
    steps = np.random.default_rng(0).integers((0, 1), (8192, 256), (128, 2)).tolist()

    def activations() -> None:
        for tokens, rows in steps:
            model.activation(prefill_tokens=tokens, decode_rows=rows, sampled_rows=rows)

    benchmark(activations)


def test_step_time(benchmark):
    rates = RooflineStepTime(
        weights_fs=4 * 10**12, token_fs=2 * 10**10, sample_fs=10**9, fresh_pair_fs=10**5, continued_pair_fs=10**5,
        chunk_context_fs=10**6, context_fs=10**7, swap_fs=20_000, overhead_fs=10**12,
    )  # fmt: skip
    sizes = np.random.default_rng(0).integers((1, 1), (256, 4000), (128, 2)).tolist()
    works = [
        (StepWork(decode_rows=rows, context_tokens=rows * mean, longest_context=2 * mean, sampled_rows=rows), 16)
        for rows, mean in sizes
    ]
    benchmark(all_at_once(rates.cumulative_fs, works))


def experiments(requests: int) -> list:
    """Requests at random times with little memory. The heavy imports are here, so that other cases do not need them."""
    from warpgroup.experiment import Limits, build_experiment
    from warpgroup.workloads import Trace, load_device, load_model

    model, device = load_model("llama-3.1-8b"), load_device("a100-80")
    limits = Limits(max_seqs=256, step_tokens=512, kv_blocks=1000)
    made = []
    for seed in range(INPUTS):
        rng = np.random.default_rng(seed)
        arrivals = np.cumsum(rng.exponential(1 / 8, requests) * 1e9).astype(np.int64)
        rows = np.stack([arrivals, rng.integers(1, 2000, requests), rng.integers(1, 500, requests)], axis=1)
        made.append(build_experiment(Trace.of_rows(rows, max_new_tokens=500), model, device, limits=limits))
    return made


@pytest.mark.parametrize("policy", ["paged", "ffd", "skyline"])
def test_simulate(benchmark, policy):
    from warpgroup.sim import simulate

    runs = [(experiment, policy) for experiment in experiments(30)]
    # Five runs a call, because the time of one run depends on its requests, and the fastest run alone would count.
    benchmark(each_in_turn(all_at_once(simulate, runs[first::4]) for first in range(4)))


def test_summarize(benchmark):
    from warpgroup.records.metrics import summarize
    from warpgroup.sim import simulate

    benchmark(all_at_once(summarize, [(simulate(experiment, "paged"),) for experiment in experiments(30)]))


def test_read_csv(benchmark, tmp_path):
    from warpgroup.workloads import read_trace

    files = [tmp_path / f"{seed}.csv" for seed in range(INPUTS)]
    for seed, path in enumerate(files):
        rng = np.random.default_rng(seed)
        arrivals = np.cumsum(rng.exponential(1, 300))
        lines = [f"{at:.3f},{rng.integers(1, 4000)},{rng.integers(1, 900)}" for at in arrivals]
        path.write_text("\n".join(["arrived_at,num_prefill_tokens,num_decode_tokens", *lines]) + "\n")
    benchmark(each_in_turn(partial(read_trace, path) for path in files))
