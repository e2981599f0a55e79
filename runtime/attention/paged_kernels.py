"""Triton kernels for attention over a paged cache, in parts of about equal length.

An item is a tile of queries of one request and a part of its cache. FlashAttention-2 gives each request the same number
of parts, so a step takes as long as its longest request. Here the host cuts all caches into parts of about equal
length, whatever the lengths of the requests, and as many CTAs as the device holds at once work through them.
"""

import torch
import triton
import triton.language as tl

from ...csrc import AttentionCut

ITEM = AttentionCut.ITEM
"""Integers of an item: see `AttentionCut`."""


@triton.jit
def attend_parts(
    query, key_cache, value_cache, tables, items, count, tile_edges, part_out, part_scale, arrived, out,
    token_stride, block_stride, row_stride, head_stride, out_stride, width, scale,
    GROUP: tl.constexpr, GROUP_ROWS: tl.constexpr, KV_HEADS: tl.constexpr, DIM: tl.constexpr,
    BLOCK_TOKENS: tl.constexpr, QUERIES: tl.constexpr, COLUMNS: tl.constexpr, ITEM: tl.constexpr,
):  # fmt: skip
    """The softmax of each item over its part; the program that ends the last part of a tile combines them all.

    `part_out` holds the weighted values of an item, `part_scale` log2 of its sum of weights. `arrived` counts the parts
    of each tile that are complete; it is all zeros before and after the launch.
    """
    ROWS: tl.constexpr = QUERIES * GROUP_ROWS
    rows = tl.arange(0, ROWS)
    in_tile, in_group = rows // GROUP_ROWS, rows % GROUP_ROWS
    dims = tl.arange(0, DIM)
    total = tl.load(count) * KV_HEADS
    for work in range(tl.program_id(0), total, tl.num_programs(0)):
        item, head = work // KV_HEADS, work % KV_HEADS
        first = tl.load(items + item * ITEM)
        queries = tl.load(items + item * ITEM + 1)
        position = tl.load(items + item * ITEM + 2)
        table = tables + tl.load(items + item * ITEM + 3) * width
        start = tl.load(items + item * ITEM + 4)
        end = tl.load(items + item * ITEM + 5)
        tile = tl.load(items + item * ITEM + 6)
        parts = tl.load(items + item * ITEM + 7)
        place_of_part = tl.load(items + item * ITEM + 8)
        kept = (in_tile < queries) & (in_group < GROUP)
        at = (first + in_tile).to(tl.int64) * token_stride + (head * GROUP + in_group) * DIM
        q = tl.load(query + at[:, None] + dims[None, :], mask=kept[:, None], other=0.0)
        largest = tl.full((ROWS,), float("-inf"), tl.float32)
        weights = tl.zeros((ROWS,), tl.float32)
        values = tl.zeros((ROWS, DIM), tl.float32)
        for column in range(start, end, COLUMNS):
            columns = column + tl.arange(0, COLUMNS)
            inside = columns < end
            block = tl.load(table + columns // BLOCK_TOKENS, mask=inside, other=0).to(tl.int64)
            place = block * block_stride + head * head_stride + (columns % BLOCK_TOKENS) * row_stride
            k = tl.load(key_cache + place[None, :] + dims[:, None], mask=inside[None, :], other=0.0)
            scores = tl.dot(q, k) * scale
            seen = inside[None, :] & (columns[None, :] <= (position + in_tile)[:, None])
            scores = tl.where(seen, scores, float("-inf"))
            higher = tl.maximum(largest, tl.max(scores, axis=1))
            shift = tl.where(higher == float("-inf"), 0.0, higher)
            weight = tl.exp2(scores - shift[:, None])
            faded = tl.exp2(largest - shift)
            weights = weights * faded + tl.sum(weight, axis=1)
            v = tl.load(value_cache + place[:, None] + dims[None, :], mask=inside[:, None], other=0.0)
            values = values * faded[:, None] + tl.dot(weight.to(v.dtype), v)
            largest = higher
        nothing = weights == 0.0
        values = values / tl.where(nothing, 1.0, weights)[:, None]
        to = (first + in_tile).to(tl.int64) * out_stride + (head * GROUP + in_group) * DIM
        if parts == 1:
            tl.store(out + to[:, None] + dims[None, :], values.to(out.dtype.element_ty), mask=kept[:, None])
        else:
            at = (place_of_part * KV_HEADS + head) * ROWS + rows.to(tl.int64)
            tl.store(part_out + at[:, None] * DIM + dims[None, :], values, mask=kept[:, None])
            tl.store(part_scale + at, tl.where(nothing, float("-inf"), largest + tl.log2(weights)), mask=kept)
            # A part is completely written before it counts as arrived (release). The program that counts the last
            # part then reads all other parts (acquire), from L2, since its own L1 cache may be stale.
            tl.debug_barrier()
            before = tl.atomic_add(arrived + tile * KV_HEADS + head, 1, sem="acq_rel", scope="gpu")
            if before == parts - 1:
                tl.store(arrived + tile * KV_HEADS + head, 0)
                begin = tl.load(tile_edges + tile)
                top = tl.full((ROWS,), float("-inf"), tl.float32)
                sums = tl.zeros((ROWS,), tl.float32)
                joined = tl.zeros((ROWS, DIM), tl.float32)
                for part in range(parts):
                    there = ((begin + part) * KV_HEADS + head) * ROWS + rows.to(tl.int64)
                    scales = tl.load(part_scale + there, mask=kept, other=0.0, cache_modifier=".cg")
                    theirs = part_out + there[:, None] * DIM + dims[None, :]
                    found = tl.load(theirs, mask=kept[:, None], other=0.0, cache_modifier=".cg")
                    above = tl.maximum(top, scales)
                    base = tl.where(above == float("-inf"), 0.0, above)
                    gain, loss = tl.exp2(scales - base), tl.exp2(top - base)
                    sums = sums * loss + gain
                    joined = joined * loss[:, None] + found * gain[:, None]
                    top = above
                result = (joined / sums[:, None]).to(out.dtype.element_ty)
                tl.store(out + to[:, None] + dims[None, :], result, mask=kept[:, None])


@triton.jit(do_not_specialize=["chunks"])
def _gather(
    cache, tables, edges, out, chunks, block_stride, row_stride, head_stride, width,
    VALUES: tl.constexpr, DIM: tl.constexpr, BLOCK_TOKENS: tl.constexpr, CHUNKS: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0)
    lanes = tl.arange(0, CHUNKS)
    ends = tl.load(edges + 1 + lanes, mask=lanes < chunks, other=0x7FFFFFFF)
    chunk = tl.sum((ends <= token).to(tl.int32), axis=0)
    position = token - tl.load(edges + chunk)
    block = tl.load(tables + chunk * width + position // BLOCK_TOKENS).to(tl.int64)
    values = tl.arange(0, SIZE)
    kept = values < VALUES
    head, dim = values // DIM, values % DIM
    place = block * block_stride + (position % BLOCK_TOKENS) * row_stride + head * head_stride + dim
    tl.store(out + token.to(tl.int64) * VALUES + values, tl.load(cache + place, mask=kept), mask=kept)


def gather(cache: torch.Tensor, tables: torch.Tensor, edges: torch.Tensor, tokens: int) -> torch.Tensor:
    """Copy the cached tokens of several requests into one tensor, (tokens, kv_heads, head_dim).

    Args:
        cache: (blocks, block_tokens, kv_heads, head_dim).
        tables: (requests, width) int32: block tables.
        edges: (requests + 1,) int32: where the tokens of each request begin in the result.
        tokens: of all requests.
    """
    _, block_tokens, kv_heads, dim = cache.shape
    out = torch.empty((tokens, kv_heads, dim), dtype=cache.dtype, device=cache.device)
    chunks, width = tables.shape
    _gather[(tokens,)](
        cache, tables, edges, out, chunks, *cache.stride()[:3], width,
        VALUES=kv_heads * dim, DIM=dim, BLOCK_TOKENS=block_tokens, CHUNKS=max(triton.next_power_of_2(chunks), 64),
        SIZE=triton.next_power_of_2(kv_heads * dim),
    )  # fmt: skip
    return out
