"""The inputs of a step: written into one slab of pinned memory, copied to the device, seen there as a `Batch`."""

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
"""How many prompts may share the prefill of one captured step."""

_ALIGNMENT = 16  # integers: each array begins at a multiple of 64 bytes


@dataclass(frozen=True, slots=True)
class Extent:
    """How large an engine is built. Padding can make a step larger than this; it is computed too, but more slowly.

    Attributes:
        seats: how many requests may run at once.
        longest_tokens: of a request: prompt, output and padding.
        block_tokens: of a KV block.
        limit_bytes: the KV pool never grows beyond this.
        step_tokens: the most tokens of a step, without padding.
        intake_tokens: the most prompt tokens in the queue before the scheduler.
        graph_chunks: prefill tokens of a step for which graphs that decode and prefill are captured.
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
        """The most blocks of a request: the width of a block table."""
        return -(-self.longest_tokens // self.block_tokens)

    @property
    def largest_step(self) -> "Shape":
        """A shape that no step within these limits, and no graph, exceeds in any part."""
        tokens, pieces = max(self.step_tokens, *self.graph_chunks, 1), max(self.seats, GRAPH_CHUNKS)
        return Shape(self.seats, pieces, tokens, pieces, tokens, self.seats + pieces, self.width)


@dataclass(frozen=True, slots=True)
class StepLengths:
    """The lengths that decide which attention kernels are launched, and with how many CTAs.

    All other lengths are read on the device.
    """

    longest_chunk: int = 0
    longest_cache: int = 1  # of a chunk and its cache
    cached: int = 0  # tokens of all chunks and their caches
    prompts: tuple[int, ...] = ()  # lengths, ascending


@dataclass(frozen=True, slots=True)
class Shape:
    """How large each part of a step is, with padding. A captured graph runs steps of one shape."""

    rows: int  # that decode
    chunks: int  # that continue a cache
    chunk_tokens: int
    prompts: int  # from their first token on
    prompt_tokens: int
    sampled: int
    width: int  # of a block table

    @property
    def tokens(self) -> int:
        """All tokens of the step."""
        return self.rows + self.chunk_tokens + self.prompt_tokens

    def to_core(self) -> SlabShape:
        """The shape as the core takes it."""
        return SlabShape(*astuple(self))

    @classmethod
    def of_core(cls, shape: SlabShape) -> "Shape":
        """The shape as the core returns it."""
        return cls(*(getattr(shape, field.name) for field in fields(cls)))


@dataclass(frozen=True, slots=True)
class PrefillChunk:
    """A chunk of a prompt, `tokens` long, that continues a cache of `start` tokens."""

    start: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each array of a step lies in the slab, in integers.

    Attributes:
        places: of each array, by name.
        more: the names of the arrays of the attention backend.
        size: of all.
    """

    shape: Shape
    places: dict[str, slice]
    more: list[str]
    size: int

    @classmethod
    def of(cls, shape: Shape, more: Iterable[tuple[str, int]]) -> "Layout":
        """The arrays of the core, then `more`: names and sizes that the attention backend asks for. Each is aligned."""
        places = {name: slice(start, start + count) for name, start, count in shape.to_core().arrays()}
        end, more = next(reversed(places.values())).stop, list(more)
        for name, count in more:
            start = -(-end // _ALIGNMENT) * _ALIGNMENT
            end = start + count
            places[name] = slice(start, end)
        return cls(shape, places, [name for name, _ in more], end)

    def arrays(self, slab: Integers) -> dict[str, Integers]:
        """Views of the arrays of a slab, by name."""
        return {name: slab[place] for name, place in self.places.items()}

    def batch(self, slab: torch.Tensor, lengths: StepLengths) -> Batch:
        """The arrays of a slab on the device, as the model takes them."""
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
                lengths.longest_chunk,
                lengths.longest_cache,
                lengths.cached,
            )
        if s.prompts:
            fresh = Fresh(at["prompt_edges"], lengths.prompts)
        sampled = Sampled(at["sampled_tokens"], at["sampled_seats"], at["seeds"])
        schedule = {name: at[name] for name in self.more}
        return Batch(at["ids"], at["positions"], at["slots"], decoding, continued, fresh, sampled, schedule)


class Slabs:
    """Two slabs of host memory, used in turn: the host writes one while the device may still read the other.

    Args:
        halves: pinned memory for the largest step that the limits allow. Padding can make a step larger; its slab lies
            in ordinary memory. The copy then takes the host longer, but such a step is long enough to hide that.
        copy: copies a slab to the device.
    """

    def __init__(self, halves: tuple[torch.Tensor, torch.Tensor], copy: Copy) -> None:
        self._halves, self._copy = halves, copy
        self._slabs = [*halves]
        self._copied: list[Copied | None] = [None, None]
        self._turn = 0

    def turn(self) -> Integers:
        """The other slab, to be written. It still has the content of an earlier step.

        Waits until the device has read that content; this takes no time unless the host is far ahead.
        """
        self._turn = 1 - self._turn
        if (copied := self._copied[self._turn]) is not None:
            copied.synchronize()
        self._slabs[self._turn] = self._halves[self._turn]
        return self.of_size(1)

    def of_size(self, size: int) -> Integers:
        """The slab that `turn` returned last; a new one without content if that is too small."""
        if self.size < size:
            self._slabs[self._turn] = torch.empty(size, dtype=torch.int32)
        slab: Integers = self._slabs[self._turn].numpy()
        return slab

    @property
    def size(self) -> int:
        """The size of the slab that `turn` returned last, in integers."""
        return int(self._slabs[self._turn].numel())

    def upload(self, layout: Layout, to: torch.Tensor) -> None:
        """Copy the slab that `turn` returned last to the device."""
        self._copied[self._turn] = self._copy(to[: layout.size], self._slabs[self._turn][: layout.size])
