"""Attention by flash-attn 2: its varlen kernel for prompts, its paged kernel for caches.

The extension is called as `flash_attn_varlen_func` and `flash_attn_with_kvcache` call it, but we pass it the output
tensor, so that the three parts of a step are written side by side without another copy. The calls are those of 2.8.3:
later versions synchronise the device when the cache is paged, and a CUDA graph cannot capture that.
"""

import flash_attn_2_cuda as flash
import torch

from ..step.batch import Batch, LayerCache
from .interface import Unscheduled

# With one query row a request, the kernel groups heads by itself and then wants its output in that form.
_AT_LEAST_TWO = 2


class FlashAttention(Unscheduled):
    """FlashAttention-2 on pages of 256 tokens."""

    name = "flash-attn 2.8.3"
    block_multiple = 256
    captures = True
    sees_width = True

    def begin(self, batch: Batch) -> None:
        """There is nothing to prepare."""

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
            self._decode(query[:token], cache, batch, out[:token])
        if batch.continued is not None:
            part = batch.continued
            here = slice(token, token + part.tokens)
            edges, longest = (part.edges, part.cache_edges), (part.longest, part.longest_cache)
            varlen(query[here], *cache, out[here], edges, longest, part.blocks)
            token += part.tokens
        if batch.fresh is not None:
            edges, longest = (batch.fresh.edges,) * 2, (batch.fresh.longest,) * 2
            varlen(query[token:], key[token:], value[token:], out[token:], edges, longest, None)

    def _decode(self, query: torch.Tensor, cache: LayerCache, batch: Batch, out: torch.Tensor) -> None:
        assert batch.decoding is not None
        rows, heads, dim = query.shape
        kv_heads = cache[0].shape[2]
        # The kernel works on (rows, heads of a group, kv_heads, dim): a view of the same memory.
        grouped = out.view(rows, kv_heads, heads // kv_heads, dim).transpose(1, 2)
        written = grouped if heads > kv_heads else out.unsqueeze(1)
        flash.fwd_kvcache(
            query.unsqueeze(1),
            *cache,
            None,  # no new keys
            None,
            batch.decoding.lengths,
            None,  # rotary
            None,
            None,  # rows of the cache
            None,  # left padding
            batch.decoding.blocks,
            None,  # alibi
            written,
            dim**-0.5,
            True,  # causal
            -1,  # no window
            -1,
            0.0,  # no soft cap
            False,  # interleaved rotary
            0,  # the kernel chooses the number of splits
        )


def varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    out: torch.Tensor,
    edges: tuple[torch.Tensor, torch.Tensor],
    longest: tuple[int, int],
    blocks: torch.Tensor | None,
) -> None:
    """Causal attention of packed queries to packed keys, or to paged keys, written into `out`.

    Args:
        query, out: (tokens, query_heads, head_dim).
        key, value: (tokens, kv_heads, head_dim), or a layer's cache if they are paged.
        edges: (requests + 1,) int32 each: where the queries of each request begin, and where its keys begin.
        longest: the most queries of a request, and the most keys.
        blocks: (requests, width) int32: block table, if the keys are paged.
    """
    flash.varlen_fwd(
        query,
        key,
        value,
        out,
        *edges,
        None,  # keys used
        None,  # left padding
        blocks,
        None,  # alibi
        max(longest[0], _AT_LEAST_TWO),
        longest[1],
        0.0,  # dropout
        query.shape[-1] ** -0.5,
        False,  # zero tensors
        True,  # causal
        -1,  # no window
        -1,
        0.0,  # no soft cap
        False,  # softmax
        None,  # generator
    )


def suffix(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, out: torch.Tensor) -> None:
    """Causal attention of the last queries of one prompt to all its keys, written into `out`.

    Args:
        query, out: (queries, query_heads, head_dim), at least two queries.
        key, value: (tokens, kv_heads, head_dim).
    """
    flash.fwd(
        *(each.unsqueeze(0) for each in (query, key, value, out)),
        None,  # alibi
        0.0,  # dropout
        query.shape[-1] ** -0.5,
        True,  # causal: the last query sees the last key
        -1,  # no window
        -1,
        0.0,  # no soft cap
        False,  # softmax
        None,  # generator
    )
