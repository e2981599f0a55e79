"""Memory of the host that devices read: pinned where there is a GPU, in whole pages everywhere."""

import mmap

import torch

from .machine import Machine


def host_integers(machine: Machine, count: int) -> torch.Tensor:
    """(count,) int32, zeros. Pinned memory is taken for good: ask once, for as much as will ever be needed."""
    if machine.is_cuda:
        return torch.zeros(count, dtype=torch.int32, pin_memory=True)
    return torch.frombuffer(mmap.mmap(-1, 4 * count), dtype=torch.int32)
