"""The engine: a model on a machine, with KV pool and captured graphs. It computes steps and knows no scheduler."""

import numpy as np
import torch

from ...workloads import ModelSpec
from ..attention.interface import Attention
from ..machine import Machine
from ..memory.kv_pool import KvPool
from ..model.model import Model
from ..model.operations import Operations
from ..model.torch_operations import TorchOperations
from ..model.weights import Weights, dtype_of
from ..step.inputs import Extent, Integers, Layout, PrefillChunk, Shape, Slabs, StepLengths
from ..step.pinned_memory import Arena
from ..step.upload import copy_for
from .graphs import Graphs


class Engine:
    """Computes steps: by a captured graph if there is one of that shape, else eagerly.

    Attributes:
        intake_memory: (intake_tokens,) int32: host memory for the prompts between submission and scheduler. It lies in
            the same arena as the slabs of the steps.
    """

    def __init__(
        self,
        machine: Machine,
        spec: ModelSpec,
        weights: Weights,
        attention: Attention,
        extent: Extent,
        *,
        temperature: float = 0.0,
    ) -> None:
        self.machine, self.spec, self.extent, self.temperature = machine, spec, extent, temperature
        self.model = Model(
            spec,
            weights,
            attention,
            _operations(machine),
            rotation_tokens=extent.longest_tokens + 1,
            temperature=temperature,
        )
        block_bytes = 2 * spec.layers * spec.kv_heads * spec.head_dim * spec.dtype_bytes * extent.block_tokens
        self.pool = KvPool(
            spec,
            machine,
            block_tokens=extent.block_tokens,
            limit_blocks=max(extent.limit_bytes // block_bytes, 1),
            seats=extent.seats,
            width=extent.width,
        )
        self._cache = self.pool.layers()
        self.spare_seat = extent.seats
        """Rows that only pad a graph write their tokens here."""
        self._last_tokens = torch.zeros(extent.seats + 1, dtype=torch.int32, device=machine.device)
        slab_size = Layout.of(extent.largest_step, attention.arrays(extent.largest_step)).size
        first, second, self.intake_memory = Arena(machine, slab_size, slab_size, extent.intake_tokens).parts
        self._slabs = Slabs((first, second), copy_for(machine))
        self.graphs = Graphs(machine, spec, attention, extent)

    def capture(self) -> None:
        """Capture the graphs. Before this, every step is eager."""
        self.graphs.capture(lambda batch: self.model.step(batch, self._cache, self._last_tokens), self.spare_seat)

    def turn_slab(self) -> Integers:
        """The slab of the next step, to be written."""
        return self._slabs.turn()

    @property
    def slab_size(self) -> int:
        """How many integers that slab has."""
        return self._slabs.size

    def layout(self, shape: Shape) -> tuple[Layout, Integers]:
        """The layout of a step of that shape, and the slab of `turn_slab`; a larger slab if the step does not fit."""
        layout = Layout.of(shape, self.model.attention.arrays(shape))
        return layout, self._slabs.of_size(layout.size)

    def run(self, layout: Layout, lengths: StepLengths) -> torch.Tensor:
        """Launch the step whose slab was written. Returns the tokens that it will draw, (sampled rows,) int32.

        Raises:
            torch.OutOfMemoryError: the step changed nothing, except perhaps cache positions that it had to write.
        """
        graph = self.graphs.find(layout.shape)
        if graph is not None:
            self._slabs.upload(layout, self.graphs.slab)
            return graph.replay()
        slab = torch.empty(layout.size, dtype=torch.int32, device=self.machine.device)
        self._slabs.upload(layout, slab)
        return self.model.step(layout.batch(slab, lengths), self._cache, self._last_tokens)

    def warm_up(self, prompt_tokens: int, *, rows: int = 0, chunk_tokens: int = 0) -> None:
        """Run a step that stores nothing, so that kernels are compiled and loaded, and workspaces allocated.

        Args:
            prompt_tokens: length of one whole prompt.
            rows: how many requests decode.
            chunk_tokens: prefill tokens of chunks that continue a cache; each chunk is as long as a request can be.
        """
        extent = self.extent
        each = max(min(chunk_tokens, extent.longest_tokens - 1), 1)
        chunks = [PrefillChunk(1, each)] * (chunk_tokens // each)
        tokens = rows + len(chunks) * each + prompt_tokens
        shape = Shape(rows, len(chunks), len(chunks) * each, 1, prompt_tokens, min(extent.seats, tokens), extent.width)
        self.turn_slab()
        layout, memory = self.layout(shape)
        slab = layout.arrays(memory)
        memory[: layout.size] = 0
        slab["positions"][:] = np.arange(tokens, dtype=np.int32) % extent.longest_tokens
        slab["slots"][:], slab["sampled_seats"][:] = -1, self.spare_seat
        slab["prompt_edges"][:] = (0, prompt_tokens)
        if rows:
            slab["lengths"][:] = 1
        if chunks:
            slab["chunk_edges"][:] = np.arange(len(chunks) + 1) * each
            slab["cache_edges"][:] = np.arange(len(chunks) + 1) * (each + 1)
        self.model.attention.fill(slab, shape, np.ones(rows, dtype=np.int64), chunks)
        cached = len(chunks) * (each + 1)
        self.run(layout, StepLengths(each, each + 1, cached, (prompt_tokens,)))

    def prepare_prompts(self, longest: int) -> None:
        """Build now what attention would build at first use, for prompts of up to that length."""
        spec = self.spec
        heads = torch.zeros(
            (longest, spec.query_heads + 2 * spec.kv_heads, spec.head_dim),
            dtype=dtype_of(spec),
            device=self.machine.device,
        )
        self.model.attention.prepare(*heads.split((spec.query_heads, spec.kv_heads, spec.kv_heads), dim=1))

    def close(self) -> None:
        """Free the graphs and the pool."""
        self.graphs.close()
        self._cache = []
        self.pool.close()


def _operations(machine: Machine) -> Operations:
    if not machine.is_cuda:
        return TorchOperations()
    from ..model.triton_operations import TritonOperations  # a CPU may have no Triton

    return TritonOperations()
