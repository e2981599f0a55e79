"""The KV pool: memory for blocks of all layers' keys and values, and for copies of them on the host.

    pool (blocks, layers, 2, kv_heads, block_tokens, head_dim)

A block's keys and values of all layers lie together: the pool grows and shrinks block by block, and a block is swapped
by one copy. Attention kernels get a layer's part as (blocks, block_tokens, kv_heads, head_dim) strided views.
"""

from typing import Protocol

import numpy as np
import torch

from ...csrc import BlockManager
from ...errors import OverBudget
from ...workloads import ModelSpec
from ..machine import Machine
from ..model.weights import dtype_of
from ..step.batch import LayerCache
from .virtual_memory import DeviceRange, OutOfDeviceMemory


class OutOfVram(Exception):
    """A step's memory is not there. `needed_bytes` is what would have been held in all, as far as it is known."""

    def __init__(self, needed_bytes: int) -> None:
        super().__init__(f"{needed_bytes} bytes of VRAM")
        self.needed_bytes = needed_bytes


class BlockMemory(Protocol):
    """Where the blocks lie."""

    @property
    def bytes(self) -> int:
        """How much memory there is."""

    def resize(self, size: int) -> None:
        """Memory for the first `size` bytes. Raises OutOfDeviceMemory."""


class HostRange:
    """The same for a CPU, whose memory is taken at once: what has a size of its own is only the count."""

    def __init__(self) -> None:
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """See `BlockMemory`."""
        return self._bytes

    def resize(self, size: int) -> None:
        """See `BlockMemory`."""
        self._bytes = size


class KvPool:
    """Blocks of one model on one device.

    Args:
        limit_blocks: as many as there can ever be.
        seats: running requests have numbers below this.
        width: blocks that the longest request can hold.
    """

    def __init__(
        self, spec: ModelSpec, machine: Machine, *, block_tokens: int, limit_blocks: int, seats: int, width: int
    ) -> None:
        dtype = dtype_of(spec)
        shape = (limit_blocks, spec.layers, 2, spec.kv_heads, block_tokens, spec.head_dim)
        self.block_bytes = spec.dtype_bytes * int(np.prod(shape[1:]))
        self.block_tokens = block_tokens
        self.limit_blocks = limit_blocks
        self._machine = machine
        self.memory: BlockMemory
        if machine.is_cuda:
            self._range = DeviceRange(machine.device, limit_blocks * self.block_bytes)
            self.memory = self._range
            self._blocks = self._range.tensor(limit_blocks * self.block_bytes, dtype).view(shape)
        else:
            self.memory = HostRange()
            self._blocks = torch.zeros(shape, dtype=dtype)
        self.block_manager = BlockManager(seats=seats, width=width, block_tokens=block_tokens)
        """Who holds which blocks."""
        self._host_blocks = torch.empty(0)

    @property
    def blocks(self) -> int:
        """How many there are now."""
        return self.block_manager.blocks

    @property
    def held_blocks(self) -> int:
        """How many of them are held."""
        return self.block_manager.blocks - self.block_manager.free_blocks

    def layers(self) -> list[LayerCache]:
        """Each layer's keys and values, as `Model.step` takes them."""
        views = self._blocks.permute(1, 2, 0, 4, 3, 5)  # layers, 2, blocks, block_tokens, kv_heads, head_dim
        return [(layer[0], layer[1]) for layer in views]

    def resize(self, blocks: int) -> None:
        """Have so many blocks, moving what lies beyond them. At least as many as are held.

        Raises:
            OutOfVram: the device does not have that much; nothing changed.
        """
        if blocks >= self.blocks:
            try:
                self.memory.resize(blocks * self.block_bytes)
            except OutOfDeviceMemory:
                self.memory.resize(self.blocks * self.block_bytes)
                raise OutOfVram(blocks * self.block_bytes) from None
            self.block_manager.resize(blocks)
            return
        for gone, place in self.block_manager.resize(blocks):
            self._blocks[place].copy_(self._blocks[gone])
        if self._machine.is_cuda:
            torch.cuda.synchronize(self._machine.device)  # steps under way may still read what goes
        self.memory.resize(blocks * self.block_bytes)

    def open_host(self, size: int) -> None:
        """Pinned host memory for `size` bytes of evicted caches, and for one more that is on its way back.

        Raises OverBudget: the host does not have that much to pin.
        """
        blocks = size // self.block_bytes
        if blocks < 1:
            return
        blocks += self.block_manager.width
        if self.block_manager.host_blocks >= blocks:
            return
        self.block_manager.open_host(blocks)
        shape = (blocks, *self._blocks.shape[1:])
        try:
            self._host_blocks = torch.empty(shape, dtype=self._blocks.dtype, pin_memory=self._machine.is_cuda)
        except RuntimeError:
            raise OverBudget(
                f"the host cannot pin {size / (1 << 30):.1f} GiB for evicted caches: lower the policy's swap_gib"
            ) from None

    def copy_out(self, blocks: list[tuple[int, int]]) -> None:
        """Blocks (on the host, on the device) that go to the host; ordered with the steps by the device's stream."""
        for host, device in blocks:
            self._host_blocks[host].copy_(self._blocks[device], non_blocking=True)

    def copy_in(self, blocks: list[tuple[int, int]]) -> None:
        """The way back."""
        for host, device in blocks:
            self._blocks[device].copy_(self._host_blocks[host], non_blocking=True)

    def clear(self) -> None:
        """Nobody holds anything any more, here or on the host, and the device gets its memory back."""
        self.block_manager.clear()
        if self._machine.is_cuda:
            torch.cuda.synchronize(self._machine.device)
        self.memory.resize(self.block_bytes)

    def close(self) -> None:
        """Give the device's memory back."""
        self._blocks = torch.empty(0)
        if self._machine.is_cuda:
            torch.cuda.synchronize(self._machine.device)
            self._range.close()
