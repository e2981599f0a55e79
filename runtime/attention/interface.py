"""What a step asks of an attention backend."""

from collections.abc import Iterator
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
import torch

from ...workloads import ModelSpec
from ..machine import Machine
from ..step.batch import Batch, LayerCache
from ..step.inputs import Integers, PrefillChunk, Shape


class Attention(Protocol):
    """Causal attention of a step's tokens over the paged pool."""

    name: str
    """The backend's name in records."""

    block_multiple: int
    """The size of a KV block must be a multiple of this many tokens."""

    captures: bool
    """Whether `attend` can be captured in a CUDA graph."""

    sees_width: bool
    """Whether the width of the block table decides how the kernel splits caches."""

    @classmethod
    def for_model(cls, machine: Machine, spec: ModelSpec) -> Self:
        """The backend for this model on this machine."""

    def arrays(self, shape: Shape) -> Iterator[tuple[str, int]]:
        """The arrays that the backend wants in the slab of a step of that shape: names, and how many integers."""

    def fill(
        self, slab: dict[str, Integers], shape: Shape, lengths: npt.NDArray[np.int64], chunks: list[PrefillChunk]
    ) -> None:
        """Write those arrays.

        Args:
            lengths: (rows,), tokens in the cache of each decoding request, the new token included.
            chunks: the chunks that continue a cache.
        """

    def prepare(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> None:
        """Build now what the backend would build at first use, for prompts of any length up to that of these tensors.

        Args:
            query, key, value: (tokens, heads, head_dim).
        """

    def begin(self, batch: Batch) -> None:
        """Called once a step, before its layers."""

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        cache: LayerCache,
        batch: Batch,
        out: torch.Tensor,
    ) -> None:
        """Write the attention output of the step's tokens into `out`.

        Args:
            query, key, value: (tokens, heads, head_dim), of this step; keys and values are in the cache already.
            cache: the layer's keys and values, each (blocks, block_tokens, kv_heads, head_dim).
            out: (tokens, query_heads, head_dim).
        """


class Unscheduled:
    """Base of a backend that has no parameters and wants no arrays of its own in the slab."""

    @classmethod
    def for_model(cls, machine: Machine, spec: ModelSpec) -> Self:
        """See `Attention`; it is the same for all."""
        return cls()

    def arrays(self, shape: Shape) -> Iterator[tuple[str, int]]:
        """None."""
        return iter(())

    def fill(
        self, slab: dict[str, Integers], shape: Shape, lengths: npt.NDArray[np.int64], chunks: list[PrefillChunk]
    ) -> None:
        """There is nothing to write."""

    def prepare(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> None:
        """There is nothing to build."""
