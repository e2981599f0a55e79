"""Attention of prompts to themselves: cuDNN for long ones on Hopper, where it is the faster, else FlashAttention-2."""

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from ..step.batch import Fresh
from .flash import suffix, varlen

_SHORTEST = 4096
"""Prompts of fewer tokens go to FlashAttention-2 together. On an H200 cuDNN saves 0.05 ms of 0.16 at 2,048 tokens
(`gpu_checks.py cudnn`), which a launch for each prompt and one for its rest take back."""

_GRAIN = 512
"""cuDNN builds a plan for every length, in 40 ms: it is given multiples of this, FlashAttention-2 does the rest."""


class PromptAttention:
    """Causal attention of packed prompts.

    Args:
        cudnn: whether cuDNN may be used.
    """

    def __init__(self, *, cudnn: bool) -> None:
        self.name = "flash-attn 2.8.3 and cuDNN" if cudnn else "flash-attn 2.8.3"
        self._cudnn = cudnn

    def prepare(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> None:
        """Have cuDNN build its plans for prompts of up to that length."""
        if not self._cudnn:
            return
        for length in range(_SHORTEST, len(query) + 1, _GRAIN):
            _attend_long(query[:length], key[:length], value[:length], torch.empty_like(query[:length]))

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, fresh: Fresh, out: torch.Tensor
    ) -> None:
        """Write what each prompt's tokens read of that prompt into `out`; shapes as in `Attention.attend`."""
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


def _attend_long(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, out: torch.Tensor) -> None:
    rest = len(query) % _GRAIN
    if rest == 1:  # FlashAttention-2 treats a single query in another way
        rest += _GRAIN
    whole = len(query) - rest
    queries, keys, values = (each[:whole].transpose(0, 1).unsqueeze(0) for each in (query, key, value))
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        attended = scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=True)
    out[:whole].copy_(attended[0].transpose(0, 1))
    if rest:
        suffix(query[whole:], key, value, out[whole:])
