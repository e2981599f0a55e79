"""CUDA graphs of small steps: hundreds of kernels launched by one call.

A graph is good for one shape. Steps are filled up to the next shape that was captured: rows with an empty cache,
tokens that are stored nowhere and drawn for nobody.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from ...workloads import ModelSpec
from ..attention import Attention
from ..machine import Machine
from ..step.batch import Batch
from ..step.inputs import GRAPH_CHUNKS, Extent, Filling, Layout, Shape

_NARROWEST = 4  # blocks: the smallest table width that is captured

Step = Callable[[Batch], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Captured:
    """A graph, and the tokens that its replay draws."""

    graph: torch.cuda.CUDAGraph
    tokens: torch.Tensor

    def replay(self) -> torch.Tensor:
        """Launch it."""
        self.graph.replay()
        return self.tokens


class Graphs:
    """Captured steps by shape. They share one memory pool, since no two of them run at once."""

    def __init__(self, machine: Machine, spec: ModelSpec, attention: Attention, extent: Extent) -> None:
        self._machine, self._attention = machine, attention
        self._rows = row_sizes(extent.seats)
        self._chunks = tuple(sorted(extent.graph_chunks))
        self._width, self._block_tokens = extent.width, extent.block_tokens
        self._few_rows = _rows_that_split(machine, spec) if attention.sees_width else 0
        self._enabled = machine.is_cuda and attention.captures
        self._captured: dict[Shape, Captured] = {}
        self.slab = torch.empty(0)
        """Where captured steps read their inputs."""
        self.pool_bytes = 0
        """Device memory that the graphs hold."""

    def __len__(self) -> int:
        return len(self._captured)

    @property
    def row_sizes(self) -> list[int]:
        """Rows of those that only decode, ascending: what a step of fewer is filled up to."""
        return sorted({shape.rows for shape in self._captured if not shape.chunk_tokens})

    def shapes(self) -> list[Shape]:
        """All that are worth capturing, the largest first: those after it then fit into its memory."""
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
        """With few rows the kernel splits each cache, by the width of the table: narrow tables for short caches."""
        width = self._width
        yield width
        while rows <= self._few_rows and width > _NARROWEST:
            width = max(-(-width // 2), _NARROWEST)
            yield width

    def captured(self) -> list[Shape]:
        """Those that are."""
        return [*self._captured]

    def find(self, shape: Shape) -> Captured | None:
        """The graph of exactly that shape."""
        return self._captured.get(shape)

    def capture(self, step: Step, spare_seat: int) -> None:
        """Capture every shape. `step` must not look at what the inputs hold."""
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
        batch = layout.batch(self.slab, Filling(shape.chunk_tokens, shape.width * self._block_tokens))
        step(batch)  # kernels that this shape alone needs are compiled and loaded outside the capture
        torch.cuda.synchronize(self._machine.device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            tokens = step(batch)
        return Captured(graph, tokens)

    def close(self) -> None:
        """Forget them, and free their memory."""
        self._captured.clear()
        self.slab = torch.empty(0)


def row_sizes(seats: int) -> list[int]:
    """Numbers of rows that are captured: dense where a step is short, sparse where a few rows more cost nothing."""
    sizes = [1, 2, 4, *range(8, 64, 8), *range(64, 256, 16), *range(256, 1025, 32), *range(1152, seats + 128, 128)]
    below = [size for size in sizes if size < seats]
    return [*below, seats]


def _rows_that_split(machine: Machine, spec: ModelSpec) -> int:
    """Up to how many rows FlashAttention-2 splits caches: until there is a block for 4 of 5 places of the device."""
    return 2 * machine.spec.multiprocessors * 4 // (5 * spec.kv_heads)
