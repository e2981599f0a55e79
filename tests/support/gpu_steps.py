"""Hot paths of the runtime on a GPU, which bench_gpu.py times. Needs a GPU.

All have the heads of Qwen2.5-7B, and go through inputs of different lengths: speed depends on how evenly the work is
spread over the card.
"""

from collections.abc import Callable
from functools import cache

import msgspec
import numpy as np
import torch

from warpgroup.runtime import Machine, choose_attention, open_machine
from warpgroup.runtime.attention.interface import Attention
from warpgroup.runtime.attention.paged import PagedAttention
from warpgroup.runtime.engine.engine import Engine
from warpgroup.runtime.model.weights import random_weights
from warpgroup.runtime.step.inputs import Extent, Integers, Layout, Shape, StepLengths
from warpgroup.workloads import load_model

INPUTS = 20
"""Of one call: so many that the launch on an idle GPU adds almost nothing."""
SPEC = load_model("qwen2.5-7b")
LONGEST = 6000  # tokens of a context
BLOCKS, BLOCK_TOKENS = 20_000, 16  # ten times what fits into the L2 cache of a card

machine_here = cache(open_machine)


class Captured:
    """Work as a CUDA graph, as steps are replayed: the host only makes one launch. It keeps the inputs alive."""

    def __init__(self, work: Callable[[], object]) -> None:
        work()  # compiles the kernels
        torch.cuda.synchronize()
        self._work, self._graph = work, torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            work()

    def __call__(self) -> None:
        self._graph.replay()


def decode_attention(rows: int) -> Callable[[], None]:
    """Attention of decode steps, one for each input, as one graph."""
    return Captured(decode_attention_on(machine_here(), rows))


def decode_attention_on(machine: Machine, rows: int, *, blocks: int = BLOCKS) -> Callable[[], None]:
    """The same, launched one by one."""
    rng = np.random.default_rng(0)
    attention = PagedAttention(machine.spec.multiprocessors, SPEC.kv_heads)
    shape = decoding_shape(rows, -(-LONGEST // BLOCK_TOKENS))
    layout = Layout.of(shape, attention.arrays(shape))
    slabs = (torch.from_numpy(filled(attention, layout, rng, blocks)) for _ in range(INPUTS))
    batches = [layout.batch(slab.to(machine.device), StepLengths()) for slab in slabs]
    pool = normal(machine, blocks, 2, SPEC.kv_heads, BLOCK_TOKENS, SPEC.head_dim)
    keys, values = pool.permute(1, 0, 3, 2, 4)
    query = normal(machine, rows, SPEC.query_heads, SPEC.head_dim)
    out = torch.empty_like(query)

    def attend() -> None:
        for batch in batches:
            attention.attend(query, query, query, (keys, values), batch, out)

    return attend


def prefill_attention(prompts: int) -> Callable[[], None]:
    """Attention of five steps, each with that many prompts of 200 to 6,000 tokens."""
    rng, machine = np.random.default_rng(0), machine_here()
    attention = choose_attention("auto", machine, SPEC)
    steps = []
    for lengths in np.sort(rng.integers(200, LONGEST, (5, prompts))).tolist():
        shape = Shape(0, 0, 0, prompts, sum(lengths), prompts, 1)
        layout = Layout.of(shape, attention.arrays(shape))
        slab = np.zeros(layout.size, dtype=np.int32)
        layout.arrays(slab)["prompt_edges"][:] = np.cumsum([0, *lengths])
        batch = layout.batch(torch.from_numpy(slab).to(machine.device), StepLengths(prompts=tuple(lengths)))
        heads = normal(machine, shape.tokens, SPEC.query_heads + 2 * SPEC.kv_heads, SPEC.head_dim)
        query, key, value = heads.split((SPEC.query_heads, SPEC.kv_heads, SPEC.kv_heads), dim=1)
        steps.append((query, key, value, (key, value), batch, normal(machine, *query.shape)))

    def attend() -> None:
        for query, key, value, cached, batch, out in steps:
            attention.begin(batch)
            attention.attend(query, key, value, cached, batch, out)

    attend()  # at the first use of each length, cuDNN builds a plan
    return attend


class DecodeSteps:
    """Whole steps of an engine of four layers: inputs copied to the device, then a captured graph."""

    LAYERS = 4
    POOL_BYTES = 1 << 30

    def __init__(self, rows: int) -> None:
        rng, machine = np.random.default_rng(0), machine_here()
        spec = msgspec.structs.replace(SPEC, layers=self.LAYERS)
        attention = choose_attention("auto", machine, spec)
        extent = Extent(
            seats=rows,
            longest_tokens=LONGEST,
            block_tokens=max(BLOCK_TOKENS, attention.block_multiple),
            limit_bytes=self.POOL_BYTES,
            step_tokens=rows,
            intake_tokens=1,
        )
        self.engine = Engine(machine, spec, random_weights(spec, machine.device, 0), attention, extent)
        pool = self.engine.pool
        pool.resize(pool.limit_blocks)
        for cached in pool.layers():
            for each in cached:
                each.normal_()
        self.engine.capture()
        self._shape = decoding_shape(rows, extent.width)
        layout = Layout.of(self._shape, attention.arrays(self._shape))
        self._steps = [filled(attention, layout, rng, pool.limit_blocks) for _ in range(INPUTS)]

    def __call__(self) -> None:
        for step in self._steps:
            self.engine.turn_slab()
            layout, slab = self.engine.layout(self._shape)
            slab[: layout.size] = step
            self.engine.run(layout, StepLengths())


def decoding_shape(rows: int, width: int) -> Shape:
    return Shape(rows, 0, 0, 0, 0, rows, width)


def filled(attention: Attention, layout: Layout, rng: np.random.Generator, blocks: int) -> Integers:
    """A decode step that computes like a real one but stores nothing; contexts of 900 tokens on average."""
    slab, rows = np.zeros(layout.size, dtype=np.int32), layout.shape.rows
    arrays = layout.arrays(slab)
    contexts = np.clip(rng.lognormal(6.7, 0.5, rows), 16, LONGEST).astype(np.int64)
    arrays["lengths"][:], arrays["positions"][:], arrays["slots"][:] = contexts, contexts - 1, -1
    arrays["blocks"][:] = rng.integers(0, blocks, len(arrays["blocks"]))
    arrays["sampled_tokens"][:], arrays["sampled_seats"][:] = np.arange(rows), rows  # a seat to spare
    attention.fill(arrays, layout.shape, contexts, [])
    return slab


def normal(machine: Machine, *shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.bfloat16, device=machine.device)
