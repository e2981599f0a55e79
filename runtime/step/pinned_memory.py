"""Host memory that the device reads: whole pages, pinned if there is a GPU."""

import mmap

import torch

from ..machine import Machine

_ALIGNMENT = 16
"""In integers: each part begins at a multiple of 64 bytes."""


class Arena:
    """One allocation of such memory, divided into parts. Each part keeps the whole allocation alive.

    Args:
        parts: how many integers each part has.

    Attributes:
        parts: (count,) int32 each, zeros at first.
    """

    def __init__(self, machine: Machine, *parts: int) -> None:
        sizes = [-(-count // _ALIGNMENT) * _ALIGNMENT for count in parts]
        memory = _host_integers(machine, sum(sizes))
        self.parts = [part[:count] for part, count in zip(memory.split(sizes), parts, strict=True)]


def _host_integers(machine: Machine, count: int) -> torch.Tensor:
    if machine.is_cuda:
        return torch.zeros(count, dtype=torch.int32, pin_memory=True)
    return torch.frombuffer(mmap.mmap(-1, 4 * count), dtype=torch.int32)
