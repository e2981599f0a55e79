"""What a step asks of attention, whatever is behind it."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from ..step.batch import Batch, LayerCache
from ..step.inputs import Chunk, Integers, Shape


class Attention(Protocol):
    """Causal attention of a step's tokens over the paged pool."""

    name: str
    """As it stands in the record."""

    block_multiple: int
    """KV blocks must be a multiple of so many tokens."""

    captures: bool
    """Whether `attend` can be captured in a CUDA graph."""

    sees_width: bool
    """Whether the width of the block table decides how caches are split."""

    def arrays(self, shape: Shape) -> Iterator[tuple[str, int]]:
        """What it wants in the slab of a step of that shape beside the batch: names, and how many integers."""

    def fill(
        self, slab: dict[str, Integers], shape: Shape, lengths: npt.NDArray[np.int64], chunks: list[Chunk]
    ) -> None:
        """Write those arrays, from the cache lengths of decoding rows, the new token included, and the chunks."""

    def prepare(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> None:
        """Build whatever is built at first use for a prompt of any length up to that of these, (tokens, heads, dim)."""

    def begin(self, batch: Batch) -> None:
        """Once a step, before its layers."""

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        cache: LayerCache,
        batch: Batch,
        out: torch.Tensor,
    ) -> None:
        """Write what the step's tokens read into `out`.

        Args:
            query, key, value: (tokens, heads, head_dim), this step's; keys and values are in the cache already.
            cache: the layer's keys and values, each (blocks, block_tokens, kv_heads, head_dim).
            out: (tokens, query_heads, head_dim).
        """


class Unscheduled:
    """A backend that wants nothing in the slab beside the batch."""

    def arrays(self, shape: Shape) -> Iterator[tuple[str, int]]:
        """None of its own."""
        return iter(())

    def fill(
        self, slab: dict[str, Integers], shape: Shape, lengths: npt.NDArray[np.int64], chunks: list[Chunk]
    ) -> None:
        """Nothing to lay out."""

    def prepare(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> None:
        """Nothing that depends on the length."""
