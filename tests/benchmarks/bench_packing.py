"""Measures packing against lightbinpack, and against a sort of the lengths, which no sorting packer can beat.

    pip install '.[bench]'
    pytest tests/benchmarks/bench_packing.py --benchmark-timer=time.process_time

Each row has `ns_per_item` and `bins` in its extra info; ratios in parentheses are relative to the fastest of the group.
"""

import lightbinpack
import numpy as np
import pytest

from warpgroup.csrc import pack

COUNTS = [1_000, 10_000, 100_000, 1_000_000]
DISTRIBUTIONS = {
    "lognormal, 24 a bin": (16_384, lambda rng, n: np.clip(rng.lognormal(6.0, 1.0, n), 1, 16_384)),
    "lognormal, 3 a bin": (16_384, lambda rng, n: np.clip(rng.lognormal(8.3, 0.6, n), 1, 16_384)),
    "Falkenauer uniform": (150, lambda rng, n: rng.integers(20, 101, n)),
}
PACKERS = {
    "warpgroup ffd": lambda lengths, capacity: pack(lengths, capacity, "ffd").num_bins,
    "warpgroup bfd": lambda lengths, capacity: pack(lengths, capacity, "bfd").num_bins,
    "lightbinpack ffd": lambda lengths, capacity: len(lightbinpack.ffd(lengths, capacity)),
    "lightbinpack obfd": lambda lengths, capacity: len(lightbinpack.obfd(lengths, capacity)),
    "numpy.sort": lambda lengths, capacity: len(np.sort(lengths)),
}


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_packing(benchmark, distribution, count, packer):
    capacity, draw = DISTRIBUTIONS[distribution]
    lengths = draw(np.random.default_rng(0), count).astype(np.int64)
    benchmark.group = f"{distribution}, {count:,} items"
    rounds = max(3, min(200, 1_000_000 // count))
    bins = benchmark.pedantic(PACKERS[packer], (lengths, capacity), rounds=rounds, warmup_rounds=1)
    benchmark.extra_info["ns_per_item"] = round(benchmark.stats.stats.min * 1e9 / count, 1)
    if packer != "numpy.sort":
        benchmark.extra_info["bins"] = bins
        assert bins == pack(lengths, capacity, "ffd").num_bins
