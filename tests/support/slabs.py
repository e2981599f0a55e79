"""Slabs of decode steps, for benchmarks."""

import numpy as np

from warpgroup.csrc import SlabShape, SlabWriter

NO_PIECES = np.zeros((0, 6), dtype=np.int64)
"""Of a step that prefills nothing."""


def decode_slab(rng: np.random.Generator, rows: int) -> tuple[SlabWriter, np.ndarray, SlabShape]:
    """A writer, and a slab that it fills: every number but the attention kernel's parts, contexts of 900 tokens."""
    width = 1088 // 16
    cached = np.clip(rng.lognormal(6.7, 0.5, rows), 16, 1024).astype(np.int64)
    writer = SlabWriter(
        log=np.zeros(1, dtype=np.int32), starts=np.zeros(rows, dtype=np.int64), seat_request=np.arange(rows),
        seat_tokens=cached + 1, seat_cached=cached, tables=rng.integers(0, 9999, (rows, width)).astype(np.int32),
        block_tokens=16, spare_seat=rows, seed=0,
    )  # fmt: skip
    shape = SlabShape(rows, 0, 0, 0, 0, rows, width)
    return writer, np.zeros(sum(shape.arrays()[-1][1:]), dtype=np.int32), shape
