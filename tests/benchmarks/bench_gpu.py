"""Measures the GPU time of attention and of a whole decode step; the benchmarks of perf-gate-gpu.toml.

    warpgroup gate run --config tests/benchmarks/perf-gate-gpu.toml --base main

Only the gate can run it, because it measures GPU time; the clocks of pytest-benchmark see only the kernel launches.
"""

import pytest

pytestmark = [
    pytest.mark.gate_clock("cuda"),
    pytest.mark.filterwarnings("default"),  # another version of torch may warn, and must still be measured
]


@pytest.fixture
def steps(benchmark):
    """The timed steps. Needs torch and a GPU; the benchmark's clock, which comes first, reports what is missing."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch can use no GPU here")
    from support import gpu_steps

    return gpu_steps


@pytest.mark.parametrize("rows", [32, 256])
def test_decode_attention(benchmark, steps, rows):
    benchmark(steps.decode_attention(rows))


def test_prefill_attention(benchmark, steps):
    benchmark(steps.prefill_attention(prompts=4))


def test_decode_step(benchmark, steps):
    benchmark(steps.DecodeSteps(rows=32))
