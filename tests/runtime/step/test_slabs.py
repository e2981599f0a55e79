"""Slabs in turn: the device reads what was written for its step, no matter how late it reads."""

import gc
import mmap

import numpy as np
import pytest
import torch

from warpgroup.runtime import open_machine
from warpgroup.runtime.step.inputs import Extent, Layout, Shape, Slabs
from warpgroup.runtime.step.pinned_memory import Arena
from warpgroup.runtime.step.upload import at_once

SHAPE = Shape(rows=3, chunks=0, chunk_tokens=0, prompts=0, prompt_tokens=0, sampled=3, width=2)


def halves(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    first, second = Arena(open_machine("cpu"), size, size).parts
    return first, second


class LateCopy:
    """A copy that a busy device makes as late as possible: when the host waits for it."""

    def __init__(self, to: torch.Tensor, slab: torch.Tensor) -> None:
        self._to, self._slab = to, slab

    def synchronize(self) -> None:
        if self._slab is not None:
            self._to.copy_(self._slab)
            self._slab = None


class Impatient(Slabs):
    """Breaks the rule: does not wait for the copy before the slab is written."""

    def turn(self):
        self._copied = [None, None]
        return super().turn()


def what_the_device_saw(kind: type[Slabs], steps: int) -> list[int]:
    begun: list[LateCopy] = []

    def copy(to: torch.Tensor, slab: torch.Tensor) -> LateCopy:
        begun.append(LateCopy(to, slab))
        return begun[-1]

    layout = Layout.of(SHAPE, ())
    slabs = kind(halves(layout.size), copy)
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


def test_the_test_above_fails_without_the_wait():
    assert what_the_device_saw(Impatient, 7) != [*range(7)]


def test_a_step_that_is_larger_than_its_slab_gets_other_memory_and_the_next_step_the_slab():
    late: list[LateCopy] = []
    small, large = Layout.of(SHAPE, ()), Layout.of(Shape(200, 0, 0, 0, 0, 200, 8), ())
    pinned = halves(small.size)
    slabs = Slabs(pinned, lambda to, slab: late.append(LateCopy(to, slab)) or late[-1])
    layouts = [small, large, small, large]
    seen = [torch.zeros(layout.size, dtype=torch.int32) for layout in layouts]
    for step, (layout, to) in enumerate(zip(layouts, seen, strict=True)):
        slabs.turn()
        memory = slabs.of_size(layout.size)
        memory[: layout.size] = step
        assert any(np.shares_memory(memory, half.numpy()) for half in pinned) == (layout is small)
        slabs.upload(layout, to)
    for each in late:
        each.synchronize()
    assert [(int(to[0]), int(to[-1])) for to in seen] == [(step, step) for step in range(4)]


def test_views_keep_the_memory_alive():
    layout = Layout.of(SHAPE, ())
    slabs = Slabs(halves(layout.size), at_once)
    view = layout.arrays(slabs.of_size(layout.size))["positions"]
    view[:] = 7
    del slabs
    gc.collect()
    filler = [Arena(open_machine("cpu"), 4096) for _ in range(50)]
    assert view.tolist() == [7] * 3
    assert filler


@pytest.mark.parametrize("counts", [(1,), (17, 5000, 3)])
def test_an_arena_is_whole_pages_of_zeros_in_aligned_parts_that_numpy_and_torch_share(counts):
    parts = Arena(open_machine("cpu"), *counts).parts
    assert parts[0].data_ptr() % mmap.PAGESIZE == 0
    assert [len(part) for part in parts] == [*counts]
    assert all(part.data_ptr() % 64 == 0 and not part.any() for part in parts)
    for number, part in enumerate(parts):
        part.numpy()[:] = number + 1
    assert [part.unique().tolist() for part in parts] == [[number + 1] for number in range(len(parts))]


@pytest.mark.parametrize("tokens", [300, 40_000])
def test_every_step_within_the_limits_fits_into_a_slab(tokens):
    extent = Extent(
        seats=8, longest_tokens=tokens, block_tokens=16, limit_bytes=1 << 24, step_tokens=2048, intake_tokens=4096
    )
    layout = Layout.of(extent.largest_step, ())
    for shape in (
        Shape(8, 0, 0, 0, 0, 8, extent.width),
        Shape(4, 4, 2048, 0, 0, 8, extent.width),
        Shape(0, 0, 0, 8, 2048, 8, extent.width),
        Shape(4, 1, 1024, 3, 1024, 8, extent.width),
    ):
        assert Layout.of(shape, ()).size <= layout.size
