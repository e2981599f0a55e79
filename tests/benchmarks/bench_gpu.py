"""The benchmarks that gate the runtime on a GPU: attention, and a whole decode step.

    warpgroup gate run --config tests/benchmarks/perf-gate-gpu.toml --base main

It is for the gate alone, which counts GPU time: pytest-benchmark's own clocks see no more than launches.
"""

import pytest

pytestmark = [
    pytest.mark.gate_clock("cuda"),
    pytest.mark.filterwarnings("default"),  # another version of torch may warn, and is still to be measured
]


@pytest.fixture
def steps(benchmark):
    """What is timed. It needs torch and a GPU; the benchmark's clock, asked first, says so where they are missing."""
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
