"""The inputs of one step, as tensors on the device.

The tokens of a step lie side by side, without padding:

    decoding requests, one token each | chunks that continue a cache | prompts from their first token on

Attention computes the three parts in different ways. Everything else is computed for all tokens at once.
"""

from dataclasses import dataclass

import torch

LayerCache = tuple[torch.Tensor, torch.Tensor]
"""Keys and values of a layer in the pool, each (blocks, block_tokens, kv_heads, head_dim)."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """Requests that generate one token each from their caches."""

    lengths: torch.Tensor  # (rows,) int32: tokens in the cache with the new one; 0 for padding rows
    blocks: torch.Tensor  # (rows, width) int32: block table

    @property
    def rows(self) -> int:
        """How many, with padding rows."""
        return int(self.lengths.shape[0])


@dataclass(frozen=True, slots=True)
class Continued:
    """Chunks of prompts; the tokens before each chunk are in the cache."""

    edges: torch.Tensor  # (chunks + 1,) int32: where each chunk begins among the tokens of the chunks
    cache_edges: torch.Tensor  # (chunks + 1,) int32: the same, with each chunk's cached tokens counted too
    blocks: torch.Tensor  # (chunks, width) int32: block table
    tokens: int
    longest: int  # tokens of the longest chunk
    longest_cache: int  # tokens of the longest chunk and its cache
    cached: int  # tokens of all chunks and their caches


@dataclass(frozen=True, slots=True)
class Fresh:
    """Prompts from their first token on: their attention needs no cache."""

    edges: torch.Tensor  # (prompts + 1,) int32
    lengths: tuple[int, ...]  # ascending

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt."""
        return self.lengths[-1]


@dataclass(frozen=True, slots=True)
class Sampled:
    """The tokens of the step after which the next token is drawn."""

    tokens: torch.Tensor  # (rows,) int32: their places in the step
    seats: torch.Tensor  # (rows,) int32: where the next step finds the drawn token
    seeds: torch.Tensor  # (rows,) int32: of the draw; not used at temperature 0


@dataclass(frozen=True, slots=True)
class Batch:
    """The inputs of one step."""

    ids: torch.Tensor  # (tokens,) int32: token ids; -1 - seat stands for the last drawn token of that seat
    positions: torch.Tensor  # (tokens,) int32: of each token in its request
    slots: torch.Tensor  # (tokens,) int32: where keys and values go, block * block_tokens + offset; -1: nowhere
    decoding: Decoding | None
    continued: Continued | None
    fresh: Fresh | None
    sampled: Sampled
    schedule: dict[str, torch.Tensor]  # the arrays of the attention backend
