"""The operations of a step in plain PyTorch: the reference that tests compare kernels with, and what a CPU runs."""

import torch
from torch.nn.functional import linear, silu

from ..step.batch import Sampled


class TorchOperations:
    """Implements `Operations` for any device."""

    def embed(self, ids: torch.Tensor, last_tokens: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        """See `Operations`."""
        drawn = last_tokens[(-1 - ids).clamp(min=0)]
        return table[torch.where(ids < 0, drawn, ids)]

    def rms_norm(self, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        """See `Operations`."""
        wide = x.float()
        scaled = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
        return weight * scaled.to(x.dtype)

    def add_rms_norm(
        self, x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, epsilon: float
    ) -> torch.Tensor:
        """See `Operations`."""
        residual += x
        return self.rms_norm(residual, weight, epsilon)

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
        if query_norm is not None and key_norm is not None:
            query.copy_(self.rms_norm(query, query_norm, epsilon))
            key.copy_(self.rms_norm(key, key_norm, epsilon))
        cos, sin = rotation[positions].unsqueeze(1).chunk(2, dim=-1)
        for heads in (query, key):
            first, second = heads.float().chunk(2, dim=-1)
            heads.copy_(torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1))
        kept = slots >= 0
        block_tokens = key_cache.shape[1]
        blocks, offsets = slots[kept] // block_tokens, slots[kept] % block_tokens
        key_cache[blocks, offsets] = key[kept]
        value_cache[blocks, offsets] = value[kept]

    def project(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """See `Operations`."""
        return linear(x, weight, bias)

    def project_to_add(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """See `Operations`."""
        return linear(x, weight)

    def gated(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """See `Operations`."""
        gate, up = linear(x, weight).chunk(2, dim=-1)
        return silu(gate) * up

    def sample(
        self, logits: torch.Tensor, sampled: Sampled, temperature: float, last_tokens: torch.Tensor
    ) -> torch.Tensor:
        """See `Operations`."""
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
