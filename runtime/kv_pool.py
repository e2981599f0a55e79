"""The KV pool: blocks of all layers' keys and values, who holds which, and copies of them on the host.

    pool (blocks, layers, 2, kv_heads, block_tokens, head_dim)

A block's keys and values of all layers lie together: the pool grows and shrinks block by block, and a block is swapped
by one copy. Attention kernels get a layer's part as (blocks, block_tokens, kv_heads, head_dim) strided views.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from ..csrc import PagedKv
from ..errors import OverBudget
from ..workloads import ModelSpec
from .batch import LayerCache
from .machine import Machine
from .virtual_memory import DeviceRange, OutOfDeviceMemory
from .weights import dtype_of


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
        self._kv = PagedKv(1, block_tokens)
        self._host: PagedKv | None = None
        self._host_tokens: dict[int, int] = {}
        self._host_blocks = torch.empty(0)
        self.tables: npt.NDArray[np.int32] = np.zeros((seats, width), dtype=np.int32)
        """Block table of every seat; what lies behind a request's last block is stale."""
        self._seat_of: dict[int, int] = {}
        self._tokens_of: dict[int, int] = {}  # for how many tokens each holds blocks

    @property
    def blocks(self) -> int:
        """How many there are now."""
        return self._kv.blocks

    @property
    def held_blocks(self) -> int:
        """How many of them are held."""
        return self._kv.blocks - self._kv.free_blocks

    def layers(self) -> list[LayerCache]:
        """Each layer's keys and values, as `Model.step` takes them."""
        views = self._blocks.permute(1, 2, 0, 4, 3, 5)  # layers, 2, blocks, block_tokens, kv_heads, head_dim
        return [(layer[0], layer[1]) for layer in views]

    def resize(self, blocks: int) -> None:
        """Have so many blocks, moving what lies beyond them. At least as many as are held.

        Raises:
            OutOfVram: the device does not have that much; nothing changed.
        """
        if blocks >= self._kv.blocks:
            try:
                self.memory.resize(blocks * self.block_bytes)
            except OutOfDeviceMemory:
                self.memory.resize(self._kv.blocks * self.block_bytes)
                raise OutOfVram(blocks * self.block_bytes) from None
            self._kv.resize(blocks)
            return
        moves = self._kv.resize(blocks)
        for gone, place in moves:
            self._blocks[place].copy_(self._blocks[gone])
        for request in self._seat_of if moves else ():
            self._refresh(request)
        if self._machine.is_cuda:
            torch.cuda.synchronize(self._machine.device)  # steps under way may still read what goes
        self.memory.resize(blocks * self.block_bytes)

    def hold(self, request: int, seat: int, tokens: int) -> bool:
        """Have blocks for a request's first `tokens` tokens; False, and nothing changes, if there are not enough."""
        if request not in self._seat_of:
            if not self._kv.allocate(request, tokens):
                return False
            self._seat_of[request] = seat
        elif tokens <= self._tokens_of[request]:
            return True  # a step that ran out of memory had asked for more
        elif not self._kv.grow(request, tokens):
            return False
        self._tokens_of[request] = tokens
        self._refresh(request)
        return True

    def release(self, request: int) -> None:
        """Give back the blocks that a request holds, if any; what it has on the host stays there."""
        if self._seat_of.pop(request, None) is not None:
            del self._tokens_of[request]
            self._kv.free(request)

    def _refresh(self, request: int) -> None:
        table = self._kv.block_table(request)
        self.tables[self._seat_of[request], : len(table)] = table

    def open_host(self, size: int) -> None:
        """Pinned host memory for `size` bytes of evicted caches, and for one more that is on its way back.

        Raises OverBudget: the host does not have that much to pin.
        """
        blocks = size // self.block_bytes
        if blocks < 1:
            return
        blocks += self.tables.shape[1]
        if self._host is not None and self._host.blocks >= blocks:
            return
        self._host = PagedKv(blocks, self.block_tokens)
        shape = (blocks, *self._blocks.shape[1:])
        try:
            self._host_blocks = torch.empty(shape, dtype=self._blocks.dtype, pin_memory=self._machine.is_cuda)
        except RuntimeError:
            raise OverBudget(
                f"the host cannot pin {size / (1 << 30):.1f} GiB for evicted caches: lower the policy's swap_gib"
            ) from None

    def swap_out(self, request: int, tokens: int) -> None:
        """Copy a request's first `tokens` tokens to the host; its blocks are still to be released."""
        assert self._host is not None, "swapping needs host memory"
        if not self._host.allocate(request, tokens):
            raise AssertionError("the core swapped out more than the host memory that it was given")
        self._host_tokens[request] = tokens
        self._copy(self._host.block_table(request), self._kv.block_table(request), out=True)

    def host_tokens(self, request: int) -> int:
        """How many of a request's tokens are on the host."""
        return self._host_tokens.get(request, 0)

    def swap_in(self, request: int, seat: int) -> bool:
        """The way back. False, and nothing changes, if there are not enough blocks."""
        assert self._host is not None, "swapping needs host memory"
        if not self.hold(request, seat, self._host_tokens[request]):
            return False
        self._copy(self._host.block_table(request), self._kv.block_table(request), out=False)
        self.forget_host(request)
        return True

    def forget_host(self, request: int) -> None:
        """Give up what a request has on the host, if anything."""
        if self._host is not None and self._host_tokens.pop(request, None) is not None:
            self._host.free(request)

    def _copy(self, there: npt.NDArray[np.int32], here: npt.NDArray[np.int32], *, out: bool) -> None:
        """Block by block, each one contiguous; ordered with the steps by the device's stream."""
        for host, device in zip(there.tolist(), here.tolist(), strict=False):
            if out:
                self._host_blocks[host].copy_(self._blocks[device], non_blocking=True)
            else:
                self._blocks[device].copy_(self._host_blocks[host], non_blocking=True)

    def clear(self) -> None:
        """Nobody holds anything any more, here or on the host, and the device gets its memory back."""
        for request in [*self._seat_of]:
            self.release(request)
        for request in [*self._host_tokens]:
            self.forget_host(request)
        self.resize(1)

    def close(self) -> None:
        """Give the device's memory back."""
        self._blocks = torch.empty(0)
        if self._machine.is_cuda:
            torch.cuda.synchronize(self._machine.device)
            self._range.close()
