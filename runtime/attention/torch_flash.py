"""Attention by the FlashAttention-2 that torch has built in, for machines without flash-attn.

The kernel of torch 2.11 takes no block table, so the caches are gathered first: they are read and written once more.
"""

import inspect
from dataclasses import dataclass

import torch
from torch.nn.attention.varlen import varlen_attn

from ..step.batch import Batch, LayerCache
from .interface import Unscheduled

# torch 2.12 and later compute grouped heads only on request.
_GROUPED = {"enable_gqa": True} if "enable_gqa" in inspect.signature(varlen_attn).parameters else {}


@dataclass(frozen=True, slots=True)
class _Cached:
    """Where each cached token of several requests lies in the pool."""

    edges: torch.Tensor  # (requests + 1,) int32: where the tokens of each request begin
    blocks: torch.Tensor  # (requests, width): block tables
    rows: torch.Tensor  # (tokens,): the request of each token
    positions: torch.Tensor  # (tokens,): its position in that request
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
        """Find where in the pool the cached tokens of the step lie."""
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
