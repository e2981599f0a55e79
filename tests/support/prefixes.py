"""Prompts as lists of blocks, and the same as a trace has them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from warpgroup.workloads import PrefixBlocks, Trace

CONTENTS = st.lists(st.lists(st.integers(0, 2), max_size=5), min_size=1, max_size=12)
"""What is in the blocks of some prompts: few kinds, so that many begin alike."""


def chained(contents: Sequence[Sequence[int]]) -> list[list[int]]:
    """A number for each block, the same where it and all before it are the same."""
    numbers: dict[tuple[int, ...], int] = {}
    return [
        [numbers.setdefault(tuple(each[: place + 1]), len(numbers)) for place in range(len(each))] for each in contents
    ]


def blocks_of(block_tokens: int, contents: Sequence[Sequence[int]]) -> PrefixBlocks:
    ids = chained(contents)
    flat = [each for row in ids for each in row]
    return PrefixBlocks.of_lists(block_tokens, np.array([len(row) for row in ids]), np.array(flat, dtype=np.int64))


def trace_of(
    block_tokens: int, contents: Sequence[Sequence[int]], arrival_ns: Sequence[int] | None = None, *, spare: int = 0
) -> Trace:
    """Prompts of these blocks, by default a second apart. The last block of a prompt lacks `spare` tokens."""
    times = arrival_ns if arrival_ns is not None else range(0, len(contents) * 10**9, 10**9)
    rows = [(time, max(len(each) * block_tokens - spare, 1), 1) for time, each in zip(times, contents, strict=True)]
    return replace(Trace.of_rows(rows, max_new_tokens=1), prefix=blocks_of(block_tokens, contents))
