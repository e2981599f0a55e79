"""The operations of a step as fused Triton kernels. Tests compare them with `TorchOperations`."""

import torch
import triton
import triton.language as tl
from torch.nn.functional import linear

from ..step.batch import Sampled
from . import small_batch_gemm

_SILU_COLUMNS = 1024
_VOCAB_COLUMNS = 4096


@triton.jit
def _embed(ids, last_tokens, table, out, hidden, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    token = tl.load(ids + row)
    if token < 0:
        token = tl.load(last_tokens - 1 - token)
    columns = tl.arange(0, BLOCK)
    kept = columns < hidden
    values = tl.load(table + token.to(tl.int64) * hidden + columns, mask=kept)
    tl.store(out + row * hidden + columns, values, mask=kept)


@triton.jit
def _rms_norm(
    x, residual, weight, out, columns, part_stride, epsilon,
    ADD: tl.constexpr, PARTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * columns
    at = tl.arange(0, BLOCK)
    kept = at < columns
    gain = tl.load(weight + at, mask=kept)
    values = tl.load(x + row + at, mask=kept, other=0.0)
    for part in tl.static_range(1, PARTS):
        values += tl.load(x + part * part_stride + row + at, mask=kept, other=0.0)
    values = values.to(out.dtype.element_ty)
    if ADD:
        values += tl.load(residual + row + at, mask=kept, other=0.0)
        tl.store(residual + row + at, values, mask=kept)
    wide = values.to(tl.float32)
    scale = tl.rsqrt(tl.sum(wide * wide, axis=0) / columns + epsilon)
    scaled = (wide * scale).to(values.dtype)
    tl.store(out + row + at, scaled * gain, mask=kept)


@triton.jit
def _rotated(heads, norm, cos, sin, at, kept, half, epsilon, NORM: tl.constexpr):
    """The two halves of each head, (heads, head_dim / 2) each, normed and rotated, in float32."""
    first = tl.load(heads + at, mask=kept, other=0.0).to(tl.float32)
    second = tl.load(heads + at + half, mask=kept, other=0.0).to(tl.float32)
    if NORM:
        columns = tl.arange(0, first.shape[1])
        squares = tl.sum(first * first + second * second, axis=1) / (2 * half)
        scale = tl.rsqrt(squares + epsilon)[:, None]
        first = first * scale * tl.load(norm + columns)[None, :].to(tl.float32)
        second = second * scale * tl.load(norm + half + columns)[None, :].to(tl.float32)
    return first * cos - second * sin, second * cos + first * sin


@triton.jit
def _rope_and_store(
    query, key, value, positions, slots, rotation, key_cache, value_cache, query_norm, key_norm, epsilon,
    token_stride, block_tokens, block_stride, row_stride, head_stride,
    QUERY_HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HALF: tl.constexpr, QUERY_ROWS: tl.constexpr,
    KV_ROWS: tl.constexpr, NORM: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, HALF)[None, :]
    table = rotation + tl.load(positions + token).to(tl.int64) * (2 * HALF) + columns
    cos, sin = tl.load(table), tl.load(table + HALF)

    rows = tl.arange(0, QUERY_ROWS)[:, None]
    at, kept = rows * (2 * HALF) + columns, (rows < QUERY_HEADS) & (columns >= 0)
    heads = query + token * token_stride
    first, second = _rotated(heads, query_norm, cos, sin, at, kept, HALF, epsilon, NORM)
    tl.store(heads + at, first.to(query.dtype.element_ty), mask=kept)
    tl.store(heads + at + HALF, second.to(query.dtype.element_ty), mask=kept)

    rows = tl.arange(0, KV_ROWS)[:, None]
    at, kept = rows * (2 * HALF) + columns, (rows < KV_HEADS) & (columns >= 0)
    heads = key + token * token_stride
    first, second = _rotated(heads, key_norm, cos, sin, at, kept, HALF, epsilon, NORM)
    first, second = first.to(key.dtype.element_ty), second.to(key.dtype.element_ty)
    tl.store(heads + at, first, mask=kept)
    tl.store(heads + at + HALF, second, mask=kept)

    slot = tl.load(slots + token)
    if slot >= 0:
        block = (slot // block_tokens).to(tl.int64)
        place = block * block_stride + (slot % block_tokens) * row_stride + rows * head_stride + columns
        tl.store(key_cache + place, first, mask=kept)
        tl.store(key_cache + place + HALF, second, mask=kept)
        heads = value + token * token_stride
        tl.store(value_cache + place, tl.load(heads + at, mask=kept), mask=kept)
        tl.store(value_cache + place + HALF, tl.load(heads + at + HALF, mask=kept), mask=kept)


@triton.jit
def _silu_and_multiply(gate_up, out, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    kept = at < columns
    gate = tl.load(gate_up + row * 2 * columns + at, mask=kept).to(tl.float32)
    up = tl.load(gate_up + row * 2 * columns + columns + at, mask=kept)
    activated = (gate * tl.sigmoid(gate)).to(up.dtype)
    tl.store(out + row * columns + at, activated * up, mask=kept)


@triton.jit
def _best_of_part(
    logits, seeds, best, where, vocab, parts, temperature, DRAW: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    row, part = tl.program_id(0), tl.program_id(1)
    at = part * BLOCK + tl.arange(0, BLOCK)
    scores = tl.load(logits + row.to(tl.int64) * vocab + at, mask=at < vocab, other=float("-inf")).to(tl.float32)
    if DRAW:
        uniform = tl.maximum(tl.rand(tl.load(seeds + row), at), 1e-12)
        scores = scores / temperature - tl.log(-tl.log(uniform))
    # Every comparison with NaN is false, so one NaN logit could select a token that does not exist.
    scores = tl.where(scores == scores, scores, float("-inf"))
    value, index = tl.max(scores, axis=0, return_indices=True)
    tl.store(best + row * parts + part, value)
    tl.store(where + row * parts + part, tl.minimum(part * BLOCK + index, vocab - 1))


@triton.jit
def _best_of_parts(best, where, seats, last_tokens, tokens, parts, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    scores = tl.load(best + row * parts + at, mask=at < parts, other=float("-inf"))
    _, index = tl.max(scores, axis=0, return_indices=True)
    token = tl.load(where + row * parts + index)
    tl.store(tokens + row, token)
    tl.store(last_tokens + tl.load(seats + row), token)


class TritonOperations:
    """Implements `Operations` for a GPU: each makes one pass over memory, without temporaries or synchronisation."""

    def embed(self, ids: torch.Tensor, last_tokens: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        """See `Operations`."""
        hidden = table.shape[1]
        out = torch.empty((ids.shape[0], hidden), dtype=table.dtype, device=table.device)
        _embed[(ids.shape[0],)](ids, last_tokens, table, out, hidden, BLOCK=triton.next_power_of_2(hidden))
        return out

    def rms_norm(self, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        """See `Operations`."""
        return _normed(x, None, weight, epsilon)

    def add_rms_norm(
        self, x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, epsilon: float
    ) -> torch.Tensor:
        """See `Operations`."""
        return _normed(x, residual, weight, epsilon)

    def rope_and_store(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        positions: torch.Tensor,
        slots: torch.Tensor,
        rotation: torch.Tensor,
        key_cache: torch.Tensor,
        value_cache: torch.Tensor,
        query_norm: torch.Tensor | None,
        key_norm: torch.Tensor | None,
        epsilon: float,
    ) -> None:
        """See `Operations`."""
        tokens, query_heads, dim = query.shape
        kv_heads = key.shape[1]
        _rope_and_store[(tokens,)](
            query, key, value, positions, slots, rotation, key_cache, value_cache, query_norm, key_norm, epsilon,
            query.stride(0), key_cache.shape[1], *key_cache.stride()[:3],
            QUERY_HEADS=query_heads, KV_HEADS=kv_heads, HALF=dim // 2, QUERY_ROWS=triton.next_power_of_2(query_heads),
            KV_ROWS=triton.next_power_of_2(kv_heads), NORM=query_norm is not None,
        )  # fmt: skip

    def project(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """See `Operations`."""
        if small_batch_gemm.suits(x, weight):
            return small_batch_gemm.project(x, weight, bias)
        return linear(x, weight, bias)

    def project_to_add(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """See `Operations`; with few rows in parts: (parts, rows, columns) in float32."""
        if small_batch_gemm.suits(x, weight):
            return small_batch_gemm.project_in_parts(x, weight)
        return linear(x, weight)

    def gated(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """See `Operations`."""
        if small_batch_gemm.suits(x, weight):
            return small_batch_gemm.gated(x, weight)
        return _activated(linear(x, weight))

    def sample(
        self, logits: torch.Tensor, sampled: Sampled, temperature: float, last_tokens: torch.Tensor
    ) -> torch.Tensor:
        """See `Operations`; the noise comes from Philox, so the drawn tokens differ from those of the CPU."""
        rows, vocab = logits.shape
        parts = triton.cdiv(vocab, _VOCAB_COLUMNS)
        best = torch.empty((rows, parts), dtype=torch.float32, device=logits.device)
        where = torch.empty((rows, parts), dtype=torch.int32, device=logits.device)
        tokens = torch.empty(rows, dtype=torch.int32, device=logits.device)
        _best_of_part[(rows, parts)](
            logits, sampled.seeds, best, where, vocab, parts, temperature, DRAW=temperature > 0, BLOCK=_VOCAB_COLUMNS
        )
        _best_of_parts[(rows,)](
            best, where, sampled.seats, last_tokens, tokens, parts, BLOCK=triton.next_power_of_2(parts), num_warps=1
        )
        return tokens


def _normed(x: torch.Tensor, residual: torch.Tensor | None, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    rows, columns = x.shape[-2:]
    out = torch.empty((rows, columns), dtype=weight.dtype, device=x.device)
    block = triton.next_power_of_2(columns)
    _rms_norm[(rows,)](
        x, residual, weight, out, columns, rows * columns, epsilon,
        ADD=residual is not None, PARTS=x.shape[0] if x.dim() == 3 else 1, BLOCK=block,
        num_warps=max(min(block // 256, 8), 1),
    )  # fmt: skip
    return out


def _activated(gate_up: torch.Tensor) -> torch.Tensor:
    rows, columns = gate_up.shape[0], gate_up.shape[1] // 2
    out = torch.empty((rows, columns), dtype=gate_up.dtype, device=gate_up.device)
    grid = (rows, triton.cdiv(columns, _SILU_COLUMNS))
    _silu_and_multiply[grid](gate_up, out, columns, BLOCK=_SILU_COLUMNS)
    return out
