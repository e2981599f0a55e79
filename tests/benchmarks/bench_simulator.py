"""Measures the simulator on one core, with all records of requests kept.

    pytest tests/benchmarks/bench_simulator.py --benchmark-timer=time.process_time

`calm`: 512 prompt and 128 output tokens, Poisson arrivals at 6/s, 256 sequences, 512 tokens a step, blocks of 16 on an
A100: the setting for which other simulators publish their speed. `pressed`: Azure conversation lengths at 6.5/s on
4,000 blocks, so that requests wait for memory. `requests_per_s` is in the extra info.
"""

import numpy as np
import pytest

from warpgroup.experiment import Experiment, Limits, build_experiment
from warpgroup.sim import simulate
from warpgroup.workloads import GeneratorSpec, Trace, generate_trace, load_device, load_model, with_arrivals
from warpgroup.workloads.models.generator import Component


def calm(requests: int) -> Experiment:
    rng = np.random.default_rng(0)
    arrival_ns = np.cumsum(rng.exponential(1 / 6, requests) * 1e9).astype(np.int64)
    rows = np.stack([arrival_ns, np.full(requests, 512), np.full(requests, 128)], axis=1)
    return on_a_card(Trace.of_rows(rows, max_new_tokens=128), kv_blocks=0)


def pressed(requests: int) -> Experiment:
    spec = GeneratorSpec(components=(Component(mixture="azure-conv"),))
    trace = generate_trace(spec, requests=requests, seed=0, max_new_tokens=1000)
    return on_a_card(with_arrivals(trace, "poisson:6.5", 0), kv_blocks=4000)


def on_a_card(trace: Trace, *, kv_blocks: int) -> Experiment:
    limits = Limits(max_seqs=256, step_tokens=512, kv_blocks=kv_blocks)
    return build_experiment(trace, load_model("llama-3.1-8b"), load_device("a100-80"), limits=limits)


@pytest.mark.parametrize("policy", ["paged", "ffd", "skyline", "past-future"])
@pytest.mark.parametrize("setting", [calm, pressed])
def test_simulate(benchmark, setting, policy):
    experiment = setting(20_000)
    benchmark.group = f"{setting.__name__}, 20,000 requests"
    benchmark.pedantic(simulate, (experiment, policy), rounds=5, warmup_rounds=1)
    benchmark.extra_info["requests_per_s"] = round(20_000 / benchmark.stats.stats.min)


@pytest.mark.parametrize("requests", [10_000, 100_000, 1_000_000])
def test_growth(benchmark, requests):
    experiment = calm(requests)
    benchmark.group = "calm, paged, by the number of requests"
    benchmark.pedantic(simulate, (experiment, "paged"), rounds=1 if requests == 10**6 else 3)
    benchmark.extra_info["requests_per_s"] = round(requests / benchmark.stats.stats.min)
