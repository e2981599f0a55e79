"""A step's inputs: laid out in one slab of pinned memory, copied to the device at once, seen there as a `Batch`."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields

import numpy as np
import numpy.typing as npt
import torch

from ...csrc import SlabShape
from .batch import Batch, Continued, Decoding, Fresh, Sampled
from .upload import Copied, Copy

Integers = npt.NDArray[np.int32]

GRAPH_CHUNKS = 4
"""Prompts that may share the prefill of one captured step."""

_ALIGNMENT = 16  # integers: every array begins at a multiple of 64 bytes


@dataclass(frozen=True, slots=True)
class Extent:
    """How large an engine is built. A larger step than it allows, as padding can make one, is computed too, and slower.

    Attributes:
        seats: requests that may run at once.
        longest_tokens: of a request, prompt and output, padding included.
        block_tokens: of a KV block.
        limit_bytes: the KV pool never grows beyond this.
        step_tokens: that a step computes at most, but for padding.
        intake_tokens: of prompts that may be on their way to whoever plans.
        graph_chunks: sizes of prefill for which graphs of decoding and prefilling steps are captured.
    """

    seats: int
    longest_tokens: int
    block_tokens: int
    limit_bytes: int
    step_tokens: int
    intake_tokens: int
    graph_chunks: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """Of a block table."""
        return -(-self.longest_tokens // self.block_tokens)

    @property
    def largest_step(self) -> "Shape":
        """No part of a step within these limits is larger, nor that of a graph."""
        tokens, pieces = max(self.step_tokens, *self.graph_chunks, 1), max(self.seats, GRAPH_CHUNKS)
        return Shape(self.seats, pieces, tokens, pieces, tokens, self.seats + pieces, self.width)


@dataclass(frozen=True, slots=True)
class Filling:
    """Lengths that decide which attention kernels are launched, and how many blocks of them; the others are read on the
    device."""

    longest_chunk: int = 0
    longest_cache: int = 1
    cached: int = 0  # in all the chunks' caches
    prompts: tuple[int, ...] = ()  # lengths, ascending


@dataclass(frozen=True, slots=True)
class Shape:
    """How large each part of a step is, filling included: what a captured graph is good for."""

    rows: int  # that decode
    chunks: int  # that continue a cache
    chunk_tokens: int
    prompts: int  # from their first token on
    prompt_tokens: int
    sampled: int
    width: int  # of a block table

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.rows + self.chunk_tokens + self.prompt_tokens

    def to_core(self) -> SlabShape:
        """As the core takes it."""
        return SlabShape(*astuple(self))

    @classmethod
    def of_core(cls, shape: SlabShape) -> "Shape":
        """As the core gives it."""
        return cls(*(getattr(shape, field.name) for field in fields(cls)))


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens of one request that continue its cache of `start` tokens."""

    start: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each array of a shape lies in the slab, in integers."""

    shape: Shape
    places: dict[str, slice]
    more: list[str]  # those of the attention backend
    size: int

    @classmethod
    def of(cls, shape: Shape, more: Iterable[tuple[str, int]]) -> "Layout":
        """One after another, each aligned; `more` are arrays that the attention backend asks for."""
        places = {name: slice(start, start + count) for name, start, count in shape.to_core().arrays()}
        end, more = next(reversed(places.values())).stop, list(more)
        for name, count in more:
            start = -(-end // _ALIGNMENT) * _ALIGNMENT
            end = start + count
            places[name] = slice(start, end)
        return cls(shape, places, [name for name, _ in more], end)

    def arrays(self, slab: Integers) -> dict[str, Integers]:
        """Views of a slab's arrays, by name."""
        return {name: slab[place] for name, place in self.places.items()}

    def batch(self, slab: torch.Tensor, filling: Filling) -> Batch:
        """The slab's arrays as what the model takes."""
        s, at = self.shape, {name: slab[place] for name, place in self.places.items()}
        decoding = Decoding(at["lengths"], at["blocks"].view(s.rows, s.width)) if s.rows else None
        continued = fresh = None
        if s.chunks:
            blocks = at["chunk_blocks"].view(s.chunks, s.width)
            continued = Continued(
                at["chunk_edges"],
                at["cache_edges"],
                blocks,
                s.chunk_tokens,
                filling.longest_chunk,
                filling.longest_cache,
                filling.cached,
            )
        if s.prompts:
            fresh = Fresh(at["prompt_edges"], filling.prompts)
        sampled = Sampled(at["sampled_tokens"], at["sampled_seats"], at["seeds"])
        schedule = {name: at[name] for name in self.more}
        return Batch(at["ids"], at["positions"], at["slots"], decoding, continued, fresh, sampled, schedule)


class Slabs:
    """Two slabs of host memory in turn: one is filled in while the device may still be reading the other.

    Args:
        halves: pinned memory, made for the largest step that the limits allow. A step that is larger still, as padding
            can make it, lies in ordinary memory: its copy takes the host longer, and it is long enough for that.
        copy: to the device.
    """

    def __init__(self, halves: tuple[torch.Tensor, torch.Tensor], copy: Copy) -> None:
        self._halves, self._copy = halves, copy
        self._slabs = [*halves]
        self._copied: list[Copied | None] = [None, None]
        self._turn = 0

    def turn(self) -> Integers:
        """The other slab, to be filled in; what it holds is left over from earlier steps.

        Waits until the device has read what was written there last, which it has unless the host is far ahead.
        """
        self._turn = 1 - self._turn
        if (copied := self._copied[self._turn]) is not None:
            copied.synchronize()
        self._slabs[self._turn] = self._halves[self._turn]
        return self.of_size(1)

    def of_size(self, size: int) -> Integers:
        """The slab that `turn` gave last; another one, with nothing in it, if it is too small."""
        if self.size < size:
            self._slabs[self._turn] = torch.empty(size, dtype=torch.int32)
        slab: Integers = self._slabs[self._turn].numpy()
        return slab

    @property
    def size(self) -> int:
        """Of the slab that `turn` gave last, in integers."""
        return int(self._slabs[self._turn].numel())

    def upload(self, layout: Layout, to: torch.Tensor) -> None:
        """Copy the slab that `turn` gave last to the device."""
        self._copied[self._turn] = self._copy(to[: layout.size], self._slabs[self._turn][: layout.size])
