"""Attention by PyTorch's scaled_dot_product_attention, one request at a time: for CPUs and for models in float32."""

from itertools import pairwise

import torch
from torch.nn.functional import scaled_dot_product_attention

from ..step.batch import Batch, LayerCache
from .interface import Unscheduled


class SdpaAttention(Unscheduled):
    """Gathers the cache of each request and computes its attention. Simple, exact, slow."""

    name = "sdpa (torch)"
    block_multiple = 1
    captures = False
    sees_width = False

    def begin(self, batch: Batch) -> None:
        """List the requests: (first token, tokens, cached tokens, block table) of each."""
        self._parts: list[tuple[int, int, int, torch.Tensor | None]] = []
        token = 0
        if batch.decoding is not None:
            for row, length in enumerate(batch.decoding.lengths.tolist()):
                if length:  # else the row is padding of a captured shape
                    self._parts.append((row, 1, length, batch.decoding.blocks[row]))
            token = batch.decoding.rows
        if batch.continued is not None:
            edges, cache_edges = batch.continued.edges.tolist(), batch.continued.cache_edges.tolist()
            for chunk in range(len(edges) - 1):
                cached = cache_edges[chunk + 1] - cache_edges[chunk]
                tokens = edges[chunk + 1] - edges[chunk]
                if not tokens:
                    continue
                self._parts.append((token + edges[chunk], tokens, cached, batch.continued.blocks[chunk]))
            token += batch.continued.tokens
        if batch.fresh is not None:
            edges = batch.fresh.edges.tolist()
            for start, end in pairwise(edges):
                self._parts.append((token + start, end - start, end - start, None))

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
        for first, tokens, cached, blocks in self._parts:
            here = slice(first, first + tokens)
            keys, values = key[here], value[here]
            if blocks is not None:
                used = blocks[: -(-cached // cache[0].shape[1])]
                keys, values = (each[used].flatten(0, 1)[:cached] for each in cache)
            out[here] = _attend(query[here], keys, values)


def _attend(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    tokens, cached = query.shape[0], keys.shape[0]
    # The last query sees all keys; each query before it sees one key less.
    seen = torch.ones(tokens, cached, dtype=torch.bool, device=query.device).tril(cached - tokens)
    q, k, v = (each.transpose(0, 1).unsqueeze(0) for each in (query, keys, values))
    return scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True)[0].transpose(0, 1)
