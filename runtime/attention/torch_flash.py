"""Attention by the FlashAttention-2 that torch carries, where flash-attn is missing.

torch 2.11's kernel takes no block table: the caches are gathered first, which reads and writes them once more.
"""

import inspect
from dataclasses import dataclass

import torch
from torch.nn.attention.varlen import varlen_attn

from ..step.batch import Batch, LayerCache
from .interface import Unscheduled

# Since 2.12 grouped heads have to be asked for.
_GROUPED = {"enable_gqa": True} if "enable_gqa" in inspect.signature(varlen_attn).parameters else {}


@dataclass(frozen=True, slots=True)
class _Cached:
    """Every cached token of several requests, in order."""

    edges: torch.Tensor  # where each request's tokens begin
    blocks: torch.Tensor  # (requests, width): block tables
    rows: torch.Tensor  # the request of each token
    positions: torch.Tensor  # its position there
    longest: int

    @classmethod
    def of(cls, edges: torch.Tensor, blocks: torch.Tensor, longest: int) -> "_Cached":
        rows = torch.repeat_interleave(torch.arange(len(blocks), device=edges.device), edges.diff())
        positions = torch.arange(len(rows), device=edges.device) - edges[rows]
        return cls(edges, blocks, rows, positions, longest)


class TorchFlashAttention(Unscheduled):
    """torch.nn.attention.varlen_attn over gathered caches."""

    name = "FlashAttention-2 (torch)"
    block_multiple = 1
    captures = False
    sees_width = False

    def begin(self, batch: Batch) -> None:
        """Where in the pool every token lies that is attended to."""
        self._decoding: _Cached | None = None
        self._continued: _Cached | None = None
        if batch.decoding is not None:
            lengths = batch.decoding.lengths
            edges = torch.zeros(len(lengths) + 1, dtype=torch.int32, device=lengths.device)
            edges[1:] = lengths.cumsum(0)
            self._decoding = _Cached.of(edges, batch.decoding.blocks, int(lengths.max()))
        if batch.continued is not None:
            part = batch.continued
            self._continued = _Cached.of(part.cache_edges, part.blocks, part.longest_cache)

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
        if batch.decoding is not None and self._decoding is not None:
            rows = batch.decoding.rows
            edges = torch.arange(rows + 1, dtype=torch.int32, device=query.device)
            out[:rows] = _gathered(query[:rows], cache, self._decoding, edges, 1)
            token = rows
        if batch.continued is not None and self._continued is not None:
            part = batch.continued
            here = slice(token, token + part.tokens)
            out[here] = _gathered(query[here], cache, self._continued, part.edges, part.longest)
            token += part.tokens
        if batch.fresh is not None:
            edges, longest = batch.fresh.edges, batch.fresh.longest
            out[token:] = varlen_attn(
                *(each[token:].contiguous() for each in (query, key, value)),
                edges,
                edges,
                longest,
                longest,
                window_size=(-1, 0),
                **_GROUPED,
            )


def _gathered(
    query: torch.Tensor, cache: LayerCache, where: "_Cached", edges: torch.Tensor, longest: int
) -> torch.Tensor:
    block_tokens = cache[0].shape[1]
    blocks = where.blocks[where.rows, where.positions // block_tokens]
    keys, values = (each[blocks, where.positions % block_tokens] for each in cache)
    return varlen_attn(
        query.contiguous(), keys, values, edges, where.edges, longest, where.longest, window_size=(-1, 0), **_GROUPED
    )
