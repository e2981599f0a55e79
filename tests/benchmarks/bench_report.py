"""Measures the CPU time and the size of a report page: three policies, 10,000 requests, little memory.

    pytest tests/benchmarks/bench_report.py --benchmark-timer=time.process_time

`kib` in the extra info is the size of the page. The time of imports is not included.
"""

import numpy as np
import pytest

from warpgroup.experiment import Limits, build_experiment
from warpgroup.reports import Study, render
from warpgroup.sim import simulate
from warpgroup.workloads import Trace, load_device, load_model


@pytest.fixture(scope="module")
def study() -> Study:
    rng = np.random.default_rng(0)
    count = 10_000
    arrival_ns = np.cumsum(rng.exponential(1e9 / 4, count)).astype(np.int64)
    prompts = np.clip(rng.lognormal(6.6, 0.9, count), 1, 8000).astype(np.int64)
    outputs = np.clip(rng.lognormal(5.0, 0.8, count), 1, 1000).astype(np.int64)
    rows = np.stack([arrival_ns, prompts, outputs], axis=1).tolist()
    experiment = build_experiment(
        Trace.of_rows(rows, max_new_tokens=1000),
        load_model("llama-3.1-8b"),
        load_device("rtx-4090"),
        limits=Limits(kv_blocks=2000),
    )
    return Study.of([simulate(experiment, policy) for policy in ("count-static(n=8)", "paged", "skyline")])


def test_render(benchmark, study):
    page = benchmark.pedantic(lambda: render(study), rounds=5, warmup_rounds=1)
    benchmark.extra_info["kib"] = len(page.encode()) >> 10
    assert len(page) < 1.5 * 2**20
