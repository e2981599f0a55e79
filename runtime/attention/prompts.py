"""Attention of prompts and long chunks: cuDNN for long prompts on Hopper, where it is faster, else FlashAttention-2."""

from typing import Self

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from ...workloads import ModelSpec
from ..step.batch import Continued, Fresh
from .flash import suffix, varlen

_SHORTEST = 4096
"""Shorter prompts go to FlashAttention-2 together. On an H200 cuDNN saves 0.05 ms of 0.16 ms at 2,048 tokens
(`gpu_checks.py cudnn`), but one launch for each prompt and one for its rest cost as much."""

_GRAIN = 512
"""cuDNN builds a plan for every length, in 40 ms. It gets multiples of this; FlashAttention-2 computes the rest."""


class PromptAttention:
    """Causal attention of packed prompts, and of chunks whose caches are gathered.

    Args:
        cudnn: whether cuDNN may be used.
    """

    def __init__(self, *, cudnn: bool) -> None:
        self.name = "flash-attn 2.8.3 and cuDNN" if cudnn else "flash-attn 2.8.3"
        self._cudnn = cudnn

    @classmethod
    def for_model(cls, spec: ModelSpec) -> Self:
        """With cuDNN where it is fast: on Hopper or newer, with heads of 64 or 128 dimensions."""
        on_hopper = torch.cuda.get_device_capability() >= (9, 0)
        return cls(cudnn=on_hopper and torch.backends.cudnn.is_available() and spec.head_dim in (64, 128))

    def prepare(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> None:
        """Let cuDNN build its plans for prompts of up to that length."""
        if not self._cudnn:
            return
        for length in range(_SHORTEST, len(query) + 1, _GRAIN):
            _attend_long(query[:length], key[:length], value[:length], torch.empty_like(query[:length]))

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, fresh: Fresh, out: torch.Tensor
    ) -> None:
        """Attention of each prompt to itself, written into `out`; shapes as in `Attention.attend`."""
        lengths = fresh.lengths
        short = sum(length < _SHORTEST for length in lengths) if self._cudnn else len(lengths)
        token = sum(lengths[:short])
        if short:
            here, edges, longest = slice(0, token), fresh.edges[: short + 1], lengths[short - 1]
            varlen(query[here], key[here], value[here], out[here], (edges, edges), (longest, longest), None)
        for length in lengths[short:]:
            here = slice(token, token + length)
            _attend_long(query[here], key[here], value[here], out[here])
            token += length

    def attend_chunks(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, chunks: Continued, out: torch.Tensor
    ) -> None:
        """Attention of chunks to their gathered caches, (cached tokens, kv_heads, head_dim), written into `out`."""
        edges, longest = (chunks.edges, chunks.cache_edges), (chunks.longest, chunks.longest_cache)
        varlen(query, keys, values, out, edges, longest, None)


def _attend_long(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, out: torch.Tensor) -> None:
    rest = len(query) % _GRAIN
    if rest == 1:  # FlashAttention-2 handles a single query differently
        rest += _GRAIN
    whole = len(query) - rest
    queries, keys, values = (each[:whole].transpose(0, 1).unsqueeze(0) for each in (query, key, value))
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        attended = scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=True)
    out[:whole].copy_(attended[0].transpose(0, 1))
    if rest:
        suffix(query[whole:], key, value, out[whole:])
