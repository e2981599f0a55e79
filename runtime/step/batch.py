"""What one step computes, as tensors on the device.

The tokens of a step lie in one row, without padding:

    decoding requests, one token each | chunks that continue a cache | prompts from their first token on

The three parts are attended to in different ways; everything else is computed for all of them at once.
"""

from dataclasses import dataclass

import torch

LayerCache = tuple[torch.Tensor, torch.Tensor]
"""A layer's keys and values in the pool, each (blocks, block_tokens, kv_heads, head_dim)."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """Requests that make one token each from their caches."""

    lengths: torch.Tensor  # (rows,) int32: tokens in the cache, the new one included; 0 for rows that are filling
    blocks: torch.Tensor  # (rows, width) int32: block table

    @property
    def rows(self) -> int:
        """How many, filling included."""
        return int(self.lengths.shape[0])


@dataclass(frozen=True, slots=True)
class Continued:
    """Chunks of prompts whose first part is cached already."""

    edges: torch.Tensor  # (chunks + 1,) int32: where each chunk begins among these tokens
    cache_edges: torch.Tensor  # (chunks + 1,) int32: the same, counted in tokens attended to
    blocks: torch.Tensor  # (chunks, width) int32: block table
    tokens: int
    longest: int  # chunk
    longest_cache: int
    cached: int  # tokens attended to, of all chunks


@dataclass(frozen=True, slots=True)
class Fresh:
    """Prompts from their first token on: they attend to nothing but themselves."""

    edges: torch.Tensor  # (prompts + 1,) int32
    lengths: tuple[int, ...]  # ascending

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt."""
        return self.lengths[-1]


@dataclass(frozen=True, slots=True)
class Sampled:
    """Rows whose next token is drawn."""

    tokens: torch.Tensor  # (rows,) int32: their positions in the step
    seats: torch.Tensor  # (rows,) int32: where the drawn token is kept for the next step
    seeds: torch.Tensor  # (rows,) int32: of the draw; not looked at when greedy


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's inputs."""

    ids: torch.Tensor  # (tokens,) int32: token ids; -1 - seat: the token that was drawn last for that seat
    positions: torch.Tensor  # (tokens,) int32: in the request
    slots: torch.Tensor  # (tokens,) int32: block * block_tokens + offset, where keys and values go; -1: nowhere
    decoding: Decoding | None
    continued: Continued | None
    fresh: Fresh | None
    sampled: Sampled
    schedule: dict[str, torch.Tensor]  # what the attention backend laid out for itself
