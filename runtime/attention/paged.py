"""Our own attention over small KV blocks.

Decoding rows and short chunks run kernels of ours, which split all caches into parts of about equal length. Prompts and
long chunks go to `PromptAttention`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
import torch
import triton

from ...csrc import AttentionCut
from ...workloads import ModelSpec
from ..machine import Machine
from ..step.batch import Batch, LayerCache
from ..step.inputs import Integers, PrefillChunk, Shape
from .paged_kernels import ITEM, attend_parts, gather

if TYPE_CHECKING:
    from .prompts import PromptAttention

_TILE = 16
"""Queries of a chunk that one program takes: together with the heads of a group they fill the matrix units."""


@dataclass(frozen=True, slots=True)
class _Tuning:
    """How the kernel is launched."""

    columns: int  # cached tokens that are read at a time
    stages: int  # reads of the cache that are under way at once
    warps: int
    programs: int  # CTAs that run on a multiprocessor at once


# Measured on an H200: a few rows are cut into many parts, and the start and the end of each part cost the most.
_FEW_ROWS = _Tuning(columns=64, stages=4, warps=4, programs=3)
_MANY_ROWS = _Tuning(columns=64, stages=2, warps=4, programs=4)
_CHUNKS = _Tuning(columns=128, stages=2, warps=8, programs=1)
_FEW = 32

_LONGEST_TILED = 1024
"""If the chunks of a step have more tokens in all, their caches are gathered and FlashAttention-2 computes them."""

_MOST_COUNTERS = 1 << 18
"""The most tiles times KV heads of a step."""

_LOG2_E = 1.4426950408889634


class PagedAttention:
    """Paged attention on blocks of any multiple of 16 tokens.

    Args:
        multiprocessors: of the device.
        kv_heads: of the model.
        prompts: attention of prompts and long chunks; None: only decoding rows and short chunks can be computed, as
            the kernels' tests do without flash-attn.
    """

    block_multiple = 16
    captures = True
    sees_width = False

    def __init__(self, multiprocessors: int, kv_heads: int, prompts: "PromptAttention | None" = None) -> None:
        self._multiprocessors, self._kv_heads, self._prompts = max(multiprocessors, 1), kv_heads, prompts
        self.name = f"paged (Triton), prompts by {prompts.name}" if prompts else "paged (Triton)"
        self._cut = AttentionCut()
        self._arrived = torch.empty(0)

    @classmethod
    def for_model(cls, machine: Machine, spec: ModelSpec) -> Self:
        """See `Attention`."""
        from .prompts import PromptAttention  # needs flash-attn, which the kernels' tests do without

        return cls(machine.spec.multiprocessors, spec.kv_heads, PromptAttention.for_model(spec))

    def _ctas(self, tuning: _Tuning) -> int:
        """Items that all CTAs together work on at once."""
        return max(self._multiprocessors * tuning.programs // self._kv_heads, 1)

    def arrays(self, shape: Shape) -> Iterator[tuple[str, int]]:
        """For decoding rows and for chunks: the items, their number, and where the items of each tile begin."""
        for name, tiles, tuning in (("row", shape.rows, _rows_tuning(shape.rows)), ("chunk", _tiles(shape), _CHUNKS)):
            if tiles:
                yield from (
                    (f"{name}_items", AttentionCut.most_items(tiles, self._ctas(tuning)) * ITEM),
                    (f"{name}_count", 1),
                )
                yield f"{name}_tile_edges", tiles + 1

    def fill(
        self, slab: dict[str, Integers], shape: Shape, lengths: npt.NDArray[np.int64], chunks: list[PrefillChunk]
    ) -> None:
        """Cut the caches into parts, and schedule these on the CTAs."""
        if shape.rows:
            ctas = self._ctas(_rows_tuning(shape.rows))
            slab["row_count"][0] = self._cut.rows(lengths, ctas, slab["row_items"], slab["row_tile_edges"])
        if shape.chunks:
            pairs = [(chunk.start, chunk.tokens) for chunk in chunks]
            slab["chunk_count"][0] = self._cut.chunks(
                pairs, _TILE, self._ctas(_CHUNKS), slab["chunk_items"], slab["chunk_tile_edges"]
            )

    def prepare(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> None:
        """See `Attention`."""
        if self._prompts is not None:
            self._prompts.prepare(query, key, value)

    def begin(self, batch: Batch) -> None:
        """Nothing to prepare."""

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        cache: LayerCache,
        batch: Batch,
        out: torch.Tensor,
    ) -> None:
        """See `Attention`."""
        token = 0
        if batch.decoding is not None:
            token = batch.decoding.rows
            self._tiled("row", _rows_tuning(token), query[:token], cache, batch.decoding.blocks, batch, out[:token])
        if batch.continued is not None:
            part = batch.continued
            here = slice(token, token + part.tokens)
            if part.tokens <= _LONGEST_TILED:
                self._tiled("chunk", _CHUNKS, query[here], cache, part.blocks, batch, out[here])
            else:
                assert self._prompts is not None, "long chunks need flash-attn"
                keys, values = (gather(each, part.blocks, part.cache_edges, part.cached) for each in cache)
                self._prompts.attend_chunks(query[here], keys, values, part, out[here])
            token += part.tokens
        if batch.fresh is not None:
            assert self._prompts is not None, "prompts need flash-attn"
            self._prompts.attend(query[token:], key[token:], value[token:], batch.fresh, out[token:])

    def _tiled(
        self,
        name: str,
        tuning: _Tuning,
        query: torch.Tensor,
        cache: LayerCache,
        tables: torch.Tensor,
        batch: Batch,
        out: torch.Tensor,
    ) -> None:
        _, block_tokens, kv_heads, dim = cache[0].shape
        queries, group = _TILE if name == "chunk" else 1, query.shape[1] // kv_heads
        group_rows = triton.next_power_of_2(group) if queries > 1 else max(triton.next_power_of_2(group), 16)
        items, count, edges = (batch.schedule[f"{name}_{each}"] for each in ("items", "count", "tile_edges"))
        rows = queries * group_rows
        shape = (items.shape[0] // ITEM, kv_heads, rows)
        part_out = torch.empty((*shape, dim), dtype=torch.float32, device=query.device)
        part_scale = torch.empty(shape, dtype=torch.float32, device=query.device)
        attend_parts[(self._multiprocessors * tuning.programs,)](
            query, *cache, tables, items, count, edges, part_out, part_scale, self._counters(query.device), out,
            query.stride(0), *cache[0].stride()[:3], out.stride(0), tables.shape[1], dim**-0.5 * _LOG2_E,
            GROUP=group, GROUP_ROWS=group_rows, KV_HEADS=kv_heads, DIM=dim, BLOCK_TOKENS=block_tokens,
            QUERIES=queries, COLUMNS=tuning.columns, ITEM=ITEM, num_warps=tuning.warps,
            num_stages=tuning.stages,
        )  # fmt: skip

    def _counters(self, device: torch.device) -> torch.Tensor:
        """Zeros before and after every launch. Captured graphs hold the address, so the memory stays the same."""
        if self._arrived.device != device or not len(self._arrived):
            self._arrived = torch.zeros(_MOST_COUNTERS, dtype=torch.int32, device=device)
        return self._arrived


def _rows_tuning(rows: int) -> _Tuning:
    return _FEW_ROWS if rows <= _FEW else _MANY_ROWS


def _tiles(shape: Shape) -> int:
    """The most tiles that chunks of that many tokens can have: each chunk may end in the middle of a tile."""
    return shape.chunk_tokens // _TILE + shape.chunks if shape.chunks else 0
