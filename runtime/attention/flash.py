"""Attention by flash-attn 2: its varlen kernel for prompts, its paged kernel for caches.

The extension is called as `flash_attn_varlen_func` and `flash_attn_with_kvcache` call it, but with the place for the
output given: the three parts of a step land side by side without another copy. The calls are those of 2.8.3; later
versions synchronise the device when the cache is paged, which no CUDA graph can hold.
"""

import flash_attn_2_cuda as flash
import torch

from ..step.batch import Batch, LayerCache
from .interface import Unscheduled

# The kernel for one query row a request groups heads by itself, and then wants its output in that form.
_AT_LEAST_TWO = 2


class FlashAttention(Unscheduled):
    """FlashAttention-2 on pages of 256 tokens."""

    name = "flash-attn 2.8.3"
    block_multiple = 256
    captures = True
    sees_width = True

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
        # The kernel works on (rows, heads of a group, kv_heads, dim): the same memory, seen that way.
        grouped = out.view(rows, kv_heads, heads // kv_heads, dim).transpose(1, 2)
        place = grouped if heads > kv_heads else out.unsqueeze(1)
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
            place,
            dim**-0.5,
            True,  # causal
            -1,  # no window
            -1,
            0.0,  # no soft cap
            False,  # interleaved rotary
            0,  # as many splits as it sees fit
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
    """Causal attention of packed queries to packed keys, or to paged ones, written into `out`.

    Args:
        edges: where each request's queries, and its keys, begin.
        longest: of the requests' queries, and keys.
        blocks: block table, where the keys are paged.
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
    """Causal attention of a prompt's last queries, at least two, to all of its keys, written into `out`."""
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
