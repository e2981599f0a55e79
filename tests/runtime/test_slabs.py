"""Slabs in turn: what the device reads is what was written for that step, however late it reads."""

import gc
import mmap

import numpy as np
import pytest
import torch

from warpgroup.runtime import open_machine
from warpgroup.runtime.host_memory import host_integers
from warpgroup.runtime.inputs import Layout, Shape, Slabs

SHAPE = Shape(rows=3, chunks=0, chunk_tokens=0, prompts=0, prompt_tokens=0, sampled=3, width=2)


class LateCopy:
    """A copy that a busy device makes as late as it may: when somebody waits for it."""

    def __init__(self, to: torch.Tensor, slab: torch.Tensor) -> None:
        self._to, self._slab = to, slab

    def synchronize(self) -> None:
        if self._slab is not None:
            self._to.copy_(self._slab)
            self._slab = None


class Impatient(Slabs):
    """Breaks the rule: writes without waiting for the copy."""

    def turn(self):
        self._copied = [None, None]
        return super().turn()


def what_the_device_saw(kind: type[Slabs], steps: int) -> list[int]:
    begun: list[LateCopy] = []

    def copy(to: torch.Tensor, slab: torch.Tensor) -> LateCopy:
        begun.append(LateCopy(to, slab))
        return begun[-1]

    slabs, layout = kind(open_machine("cpu"), copy), Layout.of(SHAPE, ())
    device = [torch.zeros(layout.size, dtype=torch.int32) for _ in range(steps)]
    for step in range(steps):
        slabs.turn()
        slabs.of_size(layout.size)[: layout.size] = step
        slabs.upload(layout, device[step])
    for late in begun:
        late.synchronize()
    return [int(each[0]) for each in device]


def test_a_slab_is_not_rewritten_before_it_was_read():
    assert what_the_device_saw(Slabs, 7) == [*range(7)]


def test_this_test_would_notice():
    assert what_the_device_saw(Impatient, 7) != [*range(7)]


def test_a_larger_step_gets_larger_slabs_and_the_other_half_is_still_read():
    late: list[LateCopy] = []
    slabs = Slabs(open_machine("cpu"), lambda to, slab: late.append(LateCopy(to, slab)) or late[-1])
    small, large = Layout.of(SHAPE, ()), Layout.of(Shape(200, 0, 0, 0, 0, 200, 8), ())
    first, second = torch.zeros(small.size, dtype=torch.int32), torch.zeros(large.size, dtype=torch.int32)
    slabs.turn()
    slabs.of_size(small.size)[: small.size] = 1
    slabs.upload(small, first)
    slabs.turn()
    slabs.of_size(large.size)[: large.size] = 2
    slabs.upload(large, second)
    slabs.turn()
    slabs.of_size(large.size)[: large.size] = 3
    late[1].synchronize()
    assert (int(first[0]), int(second[-1])) == (1, 2)


def test_views_keep_the_memory_alive():
    slabs, layout = Slabs(open_machine("cpu")), Layout.of(SHAPE, ())
    view = layout.arrays(slabs.of_size(layout.size))["positions"]
    view[:] = 7
    del slabs
    gc.collect()
    filler = [host_integers(open_machine("cpu"), 4096) for _ in range(50)]
    assert view.tolist() == [7] * 3
    assert filler


@pytest.mark.parametrize("count", [1, 5000])
def test_host_memory_is_whole_pages_of_zeros_seen_by_both_without_a_copy(count):
    tensor = host_integers(open_machine("cpu"), count)
    assert tensor.data_ptr() % mmap.PAGESIZE == 0
    assert tensor.tolist() == [0] * count
    tensor.numpy()[0] = 5
    assert int(tensor[0]) == 5
    assert np.shares_memory(tensor.numpy(), torch.from_numpy(tensor.numpy()).numpy())
