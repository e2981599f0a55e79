"""Our own attention over small pages: balanced parts for decoding and short chunks, FlashAttention-2 for long ones."""

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import numpy.typing as npt
import torch
import triton

from ..batch import Batch, LayerCache
from ..inputs import Chunk, Integers, Shape
from .paged_kernels import ITEM, attend_parts, gather

with suppress(ImportError):  # without flash-attn only caches can be attended to, as the kernels' tests do
    from .flash import varlen

_TILE = 16
"""Queries of a chunk that one program takes: with the heads of a group they fill the matrix units."""

_COLUMNS = 128
"""Cached tokens that are read at a time."""

_SMALLEST = 64
_GRAIN = 16
"""Of parts: their least size, and what they are multiples of."""

_STAGES = 3
"""Reads of the cache that are under way at once."""

_LONGEST_TILED = 1024
"""Chunks of more tokens in all are left to FlashAttention-2, after gathering their caches."""

_PROGRAMS = 2
"""For each multiprocessor: as many as run on it at once."""

_MOST_COUNTERS = 1 << 18
"""Tiles times KV heads of a step."""

_LOG2_E = 1.4426950408889634


class PagedAttention:
    """Paged attention on blocks of any multiple of 16 tokens."""

    name = "paged (Triton), prompts by flash-attn 2.8.3"
    block_multiple = 16
    captures = True
    sees_width = False

    def __init__(self, multiprocessors: int, kv_heads: int) -> None:
        self._programs = max(multiprocessors, 1) * _PROGRAMS
        self._parts = max(self._programs // kv_heads, 1)
        self._arrived = torch.empty(0)

    def arrays(self, shape: Shape) -> Iterator[tuple[str, int]]:
        """For decoding rows and for chunks: items, how many, and where each tile's begin."""
        for name, tiles in (("row", shape.rows), ("chunk", _tiles(shape))):
            if tiles:
                yield from ((f"{name}_items", (tiles + self._parts) * ITEM), (f"{name}_count", 1))
                yield f"{name}_tile_edges", tiles + 1

    def fill(
        self, slab: dict[str, Integers], shape: Shape, lengths: npt.NDArray[np.int64], chunks: list[Chunk]
    ) -> None:
        """Cut the caches into parts."""
        if shape.rows:
            rows = np.arange(len(lengths))
            tiles = np.stack([rows, np.ones_like(rows), lengths - 1, rows, lengths], axis=1)
            self._cut(slab, "row", tiles)
        if shape.chunks:
            found = [
                (token, min(_TILE, chunk.tokens - token), chunk.start + token, place)
                for place, chunk in enumerate(chunks)
                for token in range(0, chunk.tokens, _TILE)
            ]
            starts = np.cumsum([0, *(chunk.tokens for chunk in chunks)])
            tiles = np.array([(starts[p] + t, q, at, p, at + q) for t, q, at, p in found], dtype=np.int64)
            self._cut(slab, "chunk", tiles.reshape(-1, 5))

    def _cut(self, slab: dict[str, Integers], name: str, tiles: npt.NDArray[np.int64]) -> None:
        """Items of (first query, queries, position, table row, tokens seen) tiles, longest parts about equal."""
        seen = tiles[:, 4]
        sizes = self._sizes(seen)
        counts = -(-seen // np.maximum(sizes, 1))
        ends = np.cumsum(counts)
        edges = slab[f"{name}_tile_edges"]
        edges[0], edges[1 : len(ends) + 1] = 0, ends
        edges[len(ends) + 1 :] = ends[-1] if len(ends) else 0
        total = int(edges[-1])
        tile = np.repeat(np.arange(len(tiles)), counts)
        part = np.arange(total) - np.repeat(ends - counts, counts)
        items = slab[f"{name}_items"].reshape(-1, ITEM)[:total]
        items[:, :4] = tiles[tile, :4]
        items[:, 4] = part * sizes[tile]
        items[:, 5] = np.minimum(items[:, 4] + sizes[tile], seen[tile])
        items[:, 6], items[:, 7] = tile, counts[tile]
        slab[f"{name}_count"][0] = total

    def _sizes(self, seen: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Tokens of each tile's parts: as small as lets every part have a program of its own, if that is possible."""
        total, tiles = int(seen.sum()), len(seen)
        for free in (self._parts - tiles // 2, self._parts - tiles, self._parts):
            size = max(-(-total // max(free, 1)), _SMALLEST)
            counts = -(-seen // size)
            if counts.sum() <= self._parts or free == self._parts:
                break
        return -(-seen // np.maximum(counts, 1) // _GRAIN) * _GRAIN

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
            self._tiled("row", 1, query[:token], cache, batch.decoding.blocks, batch, out[:token])
        if batch.continued is not None:
            part = batch.continued
            here = slice(token, token + part.tokens)
            if part.tokens <= _LONGEST_TILED:
                self._tiled("chunk", _TILE, query[here], cache, part.blocks, batch, out[here])
            else:
                keys, values = (gather(each, part.blocks, part.cache_edges, part.cached) for each in cache)
                edges, longest = (part.edges, part.cache_edges), (part.longest, part.longest_cache)
                varlen(query[here], keys, values, out[here], edges, longest, None)
            token += part.tokens
        if batch.fresh is not None:
            edges, longest = (batch.fresh.edges,) * 2, (batch.fresh.longest,) * 2
            varlen(query[token:], key[token:], value[token:], out[token:], edges, longest, None)

    def _tiled(
        self,
        name: str,
        queries: int,
        query: torch.Tensor,
        cache: LayerCache,
        tables: torch.Tensor,
        batch: Batch,
        out: torch.Tensor,
    ) -> None:
        _, block_tokens, kv_heads, dim = cache[0].shape
        group = query.shape[1] // kv_heads
        group_rows = triton.next_power_of_2(group) if queries > 1 else max(triton.next_power_of_2(group), 16)
        items, count, edges = (batch.schedule[f"{name}_{each}"] for each in ("items", "count", "tile_edges"))
        rows = queries * group_rows
        shape = (items.shape[0] // ITEM, kv_heads, rows)
        part_out = torch.empty((*shape, dim), dtype=torch.float32, device=query.device)
        part_scale = torch.empty(shape, dtype=torch.float32, device=query.device)
        attend_parts[(self._programs,)](
            query, *cache, tables, items, count, edges, part_out, part_scale, self._counters(query.device), out,
            query.stride(0), *cache[0].stride()[:3], out.stride(0), tables.shape[1], dim**-0.5 * _LOG2_E,
            GROUP=group, GROUP_ROWS=group_rows, KV_HEADS=kv_heads, DIM=dim, BLOCK_TOKENS=block_tokens,
            QUERIES=queries, COLUMNS=_COLUMNS, ITEM=ITEM, num_warps=4 if queries == 1 else 8, num_stages=_STAGES,
        )  # fmt: skip

    def _counters(self, device: torch.device) -> torch.Tensor:
        """Zeros, and zeros again after every launch: captured graphs keep this very memory."""
        if self._arrived.device != device or not len(self._arrived):
            self._arrived = torch.zeros(_MOST_COUNTERS, dtype=torch.int32, device=device)
        return self._arrived


def _tiles(shape: Shape) -> int:
    """Most tiles that chunks of that many tokens can have: each chunk may end in the middle of one."""
    return shape.chunk_tokens // _TILE + shape.chunks if shape.chunks else 0
