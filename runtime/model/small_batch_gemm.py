"""Matrix products of few rows: a decode step of a small batch spends most of its time on them.

With up to 64 rows, the time of a product is the time to read its weights once, so the kernel must keep the memory busy.
The tile of weights is the large side of the matrix instruction, the rows are the small side. The reduction is cut into
parts, so that all multiprocessors have the same share. The next operation (the activation, or the sum of the parts with
the norm) is fused.
"""

import functools
from dataclasses import dataclass

import torch
import triton
import triton.language as tl

MOST_ROWS = 64


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a product is cut: columns and depth of a tile, pipeline stages, and parts of the reduction."""

    columns: int
    depth: int
    stages: int
    parts: int = 1


# Measured on an H200 (shapes of a 7B model, weights read once): for up to 32 rows, then for up to 64.
_GATED = (Tiling(64, 64, 3), Tiling(64, 128, 4))
_WHOLE = (Tiling(64, 256, 4), Tiling(64, 128, 4))
_LONG = (Tiling(64, 128, 4, parts=4), Tiling(128, 128, 4, parts=4))
_SHORT = (Tiling(64, 128, 5, parts=2), Tiling(64, 128, 4, parts=2))
_FEW_ROWS = 32
_COLUMNS_MULTIPLE = 256
_LONG_DEPTH = 8192


@triton.jit
def _product(
    x, weight, bias, out, rows, columns, depth,
    GATED: tl.constexpr, BIASED: tl.constexpr, EVEN: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    part = tl.program_id(1)
    at_column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    at_row = tl.arange(0, ROWS)
    at_depth = tl.arange(0, DEPTH) + part * STEPS * DEPTH
    in_rows = at_row < rows
    w = weight + at_column.to(tl.int64)[:, None] * depth + at_depth[None, :]
    v = x + at_row[None, :] * depth + at_depth[:, None]
    sums = tl.zeros((COLUMNS, ROWS), tl.float32)
    gated = tl.zeros((COLUMNS, ROWS), tl.float32)
    skip = columns.to(tl.int64) * depth
    for step in range(STEPS):
        if EVEN:
            values = tl.load(v + step * DEPTH, mask=in_rows[None, :], other=0.0)
            sums = tl.dot(tl.load(w + step * DEPTH), values, sums)
            if GATED:
                gated = tl.dot(tl.load(w + skip + step * DEPTH), values, gated)
        else:
            left = tl.arange(0, DEPTH) < depth - (part * STEPS + step) * DEPTH
            values = tl.load(v + step * DEPTH, mask=left[:, None] & in_rows[None, :], other=0.0)
            sums = tl.dot(tl.load(w + step * DEPTH, mask=left[None, :], other=0.0), values, sums)
            if GATED:
                gated = tl.dot(tl.load(w + skip + step * DEPTH, mask=left[None, :], other=0.0), values, gated)
    kind = out.dtype.element_ty
    if GATED:
        sums = (sums * tl.sigmoid(sums)).to(x.dtype.element_ty) * gated.to(x.dtype.element_ty)
    if BIASED:
        sums += tl.load(bias + at_column)[:, None]
    place = out + part * rows * columns + at_row[None, :] * columns + at_column[:, None]
    tl.store(place, sums.to(kind), mask=in_rows[None, :])


def suits(x: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether this kernel beats the BLAS: few rows in bfloat16, on Hopper or newer, and whole tiles."""
    few = x.shape[0] <= MOST_ROWS and x.dtype == torch.bfloat16
    return few and weight.shape[0] % _COLUMNS_MULTIPLE == 0 and weight.shape[1] % 64 == 0 and _on_hopper()


@functools.cache
def _on_hopper() -> bool:
    return bool(torch.cuda.get_device_capability() >= (9, 0))


def project(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """x @ weight^T + bias, (rows, columns)."""
    out = torch.empty((x.shape[0], weight.shape[0]), dtype=x.dtype, device=x.device)
    _launch(x, weight, bias, out, _WHOLE, gated=False)
    return out


def project_in_parts(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """x @ weight^T as (parts, rows, columns) in float32; the reader adds up the parts."""
    tilings = _LONG if weight.shape[1] > _LONG_DEPTH else _SHORT
    out = torch.empty((tilings[0].parts, x.shape[0], weight.shape[0]), dtype=torch.float32, device=x.device)
    _launch(x, weight, None, out, tilings, gated=False)
    return out


def gated(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """silu(x @ gate^T) * (x @ up^T), (rows, intermediate); the weight has the rows of gate, then those of up."""
    out = torch.empty((x.shape[0], weight.shape[0] // 2), dtype=x.dtype, device=x.device)
    _launch(x, weight, None, out, _GATED, gated=True)
    return out


def _launch(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    out: torch.Tensor,
    tilings: tuple[Tiling, Tiling],
    *,
    gated: bool,
) -> None:
    rows, columns, depth = x.shape[0], out.shape[-1], weight.shape[1]
    tiling = tilings[rows > _FEW_ROWS]
    steps = triton.cdiv(depth, tiling.depth * tiling.parts)
    _product[(triton.cdiv(columns, tiling.columns), tiling.parts)](
        x, weight, bias, out, rows, columns, depth,
        GATED=gated, BIASED=bias is not None, EVEN=steps * tiling.depth * tiling.parts == depth,
        ROWS=max(triton.next_power_of_2(rows), 16), COLUMNS=tiling.columns, DEPTH=tiling.depth, STEPS=steps,
        num_warps=4, num_stages=tiling.stages,
    )  # fmt: skip
