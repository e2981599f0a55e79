"""A step's inputs: laid out in one slab of pinned memory, copied to the device at once, seen there as a `Batch`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from .batch import Batch, Continued, Decoding, Fresh, Sampled
from .host_memory import host_integers
from .machine import Machine

Integers = npt.NDArray[np.int32]

_RING = 3
"""Slabs in turn: one may be read by the device, one be waiting to be, one is being filled."""

_ALIGNMENT = 16  # integers: every array begins at a multiple of 64 bytes


@dataclass(frozen=True, slots=True)
class Extent:
    """How large an engine is built. Steps are not limited by it: what is no graph may be of any size.

    Attributes:
        seats: requests that may run at once.
        longest_tokens: of a request, prompt and output, padding included.
        block_tokens: of a KV block.
        limit_bytes: the KV pool never grows beyond this.
        graph_chunks: sizes of prefill for which graphs of decoding and prefilling steps are captured.
    """

    seats: int
    longest_tokens: int
    block_tokens: int
    limit_bytes: int
    graph_chunks: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """Of a block table."""
        return -(-self.longest_tokens // self.block_tokens)


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

    def arrays(self) -> Iterator[tuple[str, int]]:
        """The slab's arrays in order, and how many integers each has."""
        yield from (("ids", self.tokens), ("positions", self.tokens), ("slots", self.tokens))
        yield from (("lengths", self.rows), ("blocks", self.rows * self.width))
        yield from (("chunk_edges", self.chunks + 1), ("cache_edges", self.chunks + 1))
        yield from (("chunk_blocks", self.chunks * self.width), ("prompt_edges", self.prompts + 1))
        yield from (("sampled_tokens", self.sampled), ("sampled_seats", self.sampled), ("seeds", self.sampled))


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
        places, end, more = {}, 0, list(more)
        for name, count in (*shape.arrays(), *more):
            places[name] = slice(end, end + count)
            end = -(-(end + count) // _ALIGNMENT) * _ALIGNMENT
        return cls(shape, places, [name for name, _ in more], end)

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
    """Pinned slabs, used in turn. The caller sees to it that no more than two steps are under way."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._ring = [torch.empty(0, dtype=torch.int32)] * _RING
        self._turn = 0

    def next(self, layout: Layout) -> dict[str, Integers]:
        """The next slab's arrays, to be filled in; what they hold is left over from earlier steps."""
        self._turn = (self._turn + 1) % _RING
        if self._ring[self._turn].numel() < layout.size:
            size = 1 << (layout.size - 1).bit_length()
            self._ring[self._turn] = host_integers(self._machine, size)
        slab = self._ring[self._turn].numpy()
        return {name: slab[place] for name, place in layout.places.items()}

    def upload(self, layout: Layout, to: torch.Tensor) -> None:
        """Copy the slab that `next` gave last; ordered with the steps by the device's stream."""
        to[: layout.size].copy_(self._ring[self._turn][: layout.size], non_blocking=True)
