"""Everything of a step but matrix products and attention, in plain torch: the reference, and what a CPU runs.

`triton_operations` has the same functions as fused kernels for GPUs.
"""

import torch
from torch.nn.functional import linear, silu

from ..step.batch import Sampled


def embed(ids: torch.Tensor, last_tokens: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Rows (tokens, hidden) of the embedding; an id of -1 - seat stands for the token that was drawn last there."""
    drawn = last_tokens[(-1 - ids).clamp(min=0)]
    return table[torch.where(ids < 0, drawn, ids)]


def rms_norm(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """x / rms(x) * weight over the last dimension, computed in float32."""
    wide = x.float()
    scaled = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
    return weight * scaled.to(x.dtype)


def add_rms_norm(x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Adds x to the residual stream, in place, and returns the norm of that."""
    residual += x
    return rms_norm(residual, weight, epsilon)


def rope_and_store(
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
    """Norms (where the model has them) and rotates queries and keys in place, and stores keys and values.

    Args:
        query, key, value: (tokens, heads, head_dim), views of one tensor.
        positions, slots: (tokens,), as in `Batch`.
        rotation: (positions, head_dim): cosines of the first half of the dimensions, then their sines.
        key_cache, value_cache: (blocks, block_tokens, kv_heads, head_dim), a layer's part of the pool.
    """
    if query_norm is not None and key_norm is not None:
        query.copy_(rms_norm(query, query_norm, epsilon))
        key.copy_(rms_norm(key, key_norm, epsilon))
    cos, sin = rotation[positions].unsqueeze(1).chunk(2, dim=-1)
    for heads in (query, key):
        first, second = heads.float().chunk(2, dim=-1)
        heads.copy_(torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1))
    kept = slots >= 0
    block_tokens = key_cache.shape[1]
    blocks, offsets = slots[kept] // block_tokens, slots[kept] % block_tokens
    key_cache[blocks, offsets] = key[kept]
    value_cache[blocks, offsets] = value[kept]


def project(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """x @ weight^T + bias: (tokens, columns)."""
    return linear(x, weight, bias)


def project_to_add(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """x @ weight^T in whatever form `add_rms_norm` takes it."""
    return linear(x, weight)


def gated(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """silu(x @ gate^T) * (x @ up^T), of a weight (2 * intermediate, hidden): gate's rows, then up's."""
    gate, up = linear(x, weight).chunk(2, dim=-1)
    return silu(gate) * up


def sample(logits: torch.Tensor, sampled: Sampled, temperature: float, last_tokens: torch.Tensor) -> torch.Tensor:
    """The next token of each row, (rows,) int32, also kept in `last_tokens` at the row's seat.

    The likeliest one at temperature 0; else drawn from softmax(logits / temperature) by the Gumbel-max trick, with
    noise that depends on the row's seed alone: a request that is computed again draws the same tokens.
    """
    scores = logits.float()
    if temperature > 0:
        scores = scores / temperature
        for row, seed in zip(scores, sampled.seeds.tolist(), strict=True):
            row += _gumbel(seed, len(row)).to(row.device)
    tokens = scores.argmax(-1).to(torch.int32)
    last_tokens[sampled.seats] = tokens
    return tokens


def _gumbel(seed: int, count: int) -> torch.Tensor:
    uniform = torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return -torch.log(-torch.log(uniform.clamp(1e-12, 1 - 1e-12))).float()
