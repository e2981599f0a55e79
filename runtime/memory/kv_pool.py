"""The KV pool: memory for the keys and values of all layers, in blocks, and for evicted blocks on the host.

    pool (blocks, layers, 2, kv_heads, block_tokens, head_dim)

The keys and values of all layers of a block lie together, so the pool grows and shrinks block by block, and one copy
swaps a block. Attention kernels get the part of a layer as strided views (blocks, block_tokens, kv_heads, head_dim).
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
    """There is no memory for a step. `needed_bytes`: how much the process would have held, as far as it is known."""

    def __init__(self, needed_bytes: int) -> None:
        super().__init__(f"{needed_bytes} bytes of VRAM")
        self.needed_bytes = needed_bytes


class BlockMemory(Protocol):
    """The memory in which the blocks lie."""

    @property
    def bytes(self) -> int:
        """How much memory there is now."""

    def resize(self, size: int) -> None:
        """Have memory for the first `size` bytes. Raises OutOfDeviceMemory."""


class HostRange:
    """`BlockMemory` of a CPU. All memory is allocated at the start, so this only counts."""

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
        limit_blocks: the pool never has more.
        seats: running requests have seats below this number.
        width: the most blocks that a request can hold.
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
        """Knows which request holds which blocks."""
        self._host_blocks = torch.empty(0)

    @property
    def blocks(self) -> int:
        """How many blocks there are now."""
        return self.block_manager.blocks

    @property
    def held_blocks(self) -> int:
        """How many of them requests hold."""
        return self.block_manager.blocks - self.block_manager.free_blocks

    def layers(self) -> list[LayerCache]:
        """Keys and values of each layer, as `Model.step` takes them."""
        views = self._blocks.permute(1, 2, 0, 4, 3, 5)  # layers, 2, blocks, block_tokens, kv_heads, head_dim
        return [(layer[0], layer[1]) for layer in views]

    def resize(self, blocks: int) -> None:
        """Have so many blocks. Held blocks beyond that number are moved.

        Raises:
            OutOfVram: the device does not have that much memory; nothing changed.
            ValueError: more blocks than that are held.
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
            torch.cuda.synchronize(self._machine.device)  # steps under way may still read the memory that is given back
        self.memory.resize(blocks * self.block_bytes)

    def open_host(self, size: int) -> None:
        """Have pinned host memory for `size` bytes of evicted caches, and for one more cache that is copied back.

        Raises:
            OverBudget: the host cannot pin that much.
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
        """Copy blocks to the host: pairs (on the host, on the device). The device's stream orders copies and steps."""
        for host, device in blocks:
            self._host_blocks[host].copy_(self._blocks[device], non_blocking=True)

    def copy_in(self, blocks: list[tuple[int, int]]) -> None:
        """Copy blocks back to the device, pairs as in `copy_out`."""
        for host, device in blocks:
            self._blocks[device].copy_(self._host_blocks[host], non_blocking=True)

    def clear(self) -> None:
        """Release all blocks, on the device and on the host, and give the memory of all but one back to the device."""
        self.block_manager.clear()
        if self._machine.is_cuda:
            torch.cuda.synchronize(self._machine.device)
        self.memory.resize(self.block_bytes)

    def close(self) -> None:
        """Give all memory back to the device."""
        self._blocks = torch.empty(0)
        if self._machine.is_cuda:
            torch.cuda.synchronize(self._machine.device)
            self._range.close()
