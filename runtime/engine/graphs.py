"""CUDA graphs of small steps: one call launches hundreds of kernels.

A graph runs steps of one shape. A step is padded to the next captured shape, with rows that have an empty cache and
tokens that are not stored; what these rows draw is thrown away.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from ...workloads import ModelSpec
from ..attention.interface import Attention
from ..machine import Machine
from ..step.batch import Batch
from ..step.inputs import GRAPH_CHUNKS, Extent, Layout, Shape, StepLengths

_NARROWEST = 4  # the smallest width of a block table that is captured

Step = Callable[[Batch], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Captured:
    """A graph, and the tokens that its replay draws, (sampled rows,) int32."""

    graph: torch.cuda.CUDAGraph
    tokens: torch.Tensor

    def replay(self) -> torch.Tensor:
        """Launch the graph."""
        self.graph.replay()
        return self.tokens


class Graphs:
    """Captured steps by shape. They share one memory pool, since only one of them runs at a time."""

    def __init__(self, machine: Machine, spec: ModelSpec, attention: Attention, extent: Extent) -> None:
        self._machine, self._attention = machine, attention
        self._rows = row_sizes(extent.seats)
        self._chunks = tuple(sorted(extent.graph_chunks))
        self._width, self._block_tokens = extent.width, extent.block_tokens
        self._few_rows = _rows_that_split(machine, spec) if attention.sees_width else 0
        self._enabled = machine.is_cuda and attention.captures
        self._captured: dict[Shape, Captured] = {}
        self.slab = torch.empty(0)
        """The device memory from which captured steps read their inputs."""
        self.pool_bytes = 0
        """How much device memory the graphs hold."""

    def __len__(self) -> int:
        return len(self._captured)

    @property
    def row_sizes(self) -> list[int]:
        """The rows of graphs that only decode, ascending: a step is padded to the next of them."""
        return sorted({shape.rows for shape in self._captured if not shape.chunk_tokens})

    def shapes(self) -> list[Shape]:
        """All shapes that are worth capturing. The largest comes first, so that the others fit into its memory."""
        if not self._enabled:
            return []
        found = [
            Shape(rows, GRAPH_CHUNKS if chunk else 0, chunk, 0, 0, rows + (GRAPH_CHUNKS if chunk else 0), width)
            for rows in self._rows
            for width in self._widths(rows)
            for chunk in (0, *self._chunks)
        ]
        return sorted(found, key=lambda shape: (shape.tokens, shape.width), reverse=True)

    def _layout(self, shape: Shape) -> Layout:
        return Layout.of(shape, self._attention.arrays(shape))

    def _widths(self, rows: int) -> Iterator[int]:
        """Widths of block tables.

        With few rows the kernel splits caches by this width, so short caches need narrow tables.
        """
        width = self._width
        yield width
        while rows <= self._few_rows and width > _NARROWEST:
            width = max(-(-width // 2), _NARROWEST)
            yield width

    def captured(self) -> list[Shape]:
        """The captured shapes."""
        return [*self._captured]

    def find(self, shape: Shape) -> Captured | None:
        """The graph of exactly that shape, if there is one."""
        return self._captured.get(shape)

    def capture(self, step: Step, spare_seat: int) -> None:
        """Capture every shape. `step` must not depend on the content of the inputs."""
        shapes = self.shapes()
        if not shapes:
            return
        device = self._machine.device
        self.slab = torch.zeros(max(self._layout(shape).size for shape in shapes), dtype=torch.int32, device=device)
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        before = torch.cuda.mem_get_info(device)[0]
        pool = torch.cuda.graph_pool_handle()
        for shape in shapes:
            self._captured[shape] = self._capture(step, shape, spare_seat, pool)
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        self.pool_bytes = max(before - torch.cuda.mem_get_info(device)[0], 0)

    def _capture(self, step: Step, shape: Shape, spare_seat: int, pool: object) -> Captured:
        layout = self._layout(shape)
        self.slab.zero_()
        self.slab[layout.places["slots"]] = -1
        self.slab[layout.places["sampled_seats"]] = spare_seat
        batch = layout.batch(self.slab, StepLengths(shape.chunk_tokens, shape.width * self._block_tokens))
        step(batch)  # compiles and loads the kernels of this shape: that cannot happen inside the capture
        torch.cuda.synchronize(self._machine.device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            tokens = step(batch)
        return Captured(graph, tokens)

    def close(self) -> None:
        """Drop the graphs, and free their memory."""
        self._captured.clear()
        self.slab = torch.empty(0)


def row_sizes(seats: int) -> list[int]:
    """The numbers of rows that are captured: dense for short steps, sparse where a few more rows are almost free."""
    sizes = [1, 2, 4, *range(8, 64, 8), *range(64, 256, 16), *range(256, 1025, 32), *range(1152, seats + 128, 128)]
    below = [size for size in sizes if size < seats]
    return [*below, seats]


def _rows_that_split(machine: Machine, spec: ModelSpec) -> int:
    """Up to how many rows FlashAttention-2 splits caches: until its CTAs fill 4/5 of what the device holds at once."""
    return 2 * machine.spec.multiprocessors * 4 // (5 * spec.kv_heads)
