"""How a step's inputs get from host memory to the device."""

from collections.abc import Callable
from typing import Protocol

import torch

from ..machine import Machine


class Copied(Protocol):
    """A copy that was begun."""

    def synchronize(self) -> None:
        """Wait until its source may be written to again."""


Copy = Callable[[torch.Tensor, torch.Tensor], Copied | None]
"""From host memory to the device, there before the next step is computed; None: it is done already."""


def copy_for(machine: Machine) -> Copy:
    """The machine's way."""
    return beside_steps(machine) if machine.is_cuda else at_once


def at_once(to: torch.Tensor, slab: torch.Tensor) -> None:
    """The caller waits."""
    to.copy_(slab)


def in_order(to: torch.Tensor, slab: torch.Tensor) -> Copied:
    """On the stream that computes: between the step before and this one."""
    to.copy_(slab, non_blocking=True)
    copied: Copied = _recorded(torch.cuda.current_stream(to.device))
    return copied


def beside_steps(machine: Machine) -> Copy:
    """On a stream of its own while the step before is computed; between the two the inputs are only moved within the
    device, to where the step reads them.
    """
    stream = torch.cuda.Stream(machine.device)
    landed = [torch.empty(0, dtype=torch.int32, device=machine.device)] * 2
    moved: list[torch.cuda.Event | None] = [None, None]
    turn = 0

    def copy(to: torch.Tensor, slab: torch.Tensor) -> Copied:
        nonlocal turn
        turn, size, computing = 1 - turn, slab.numel(), torch.cuda.current_stream(to.device)
        with torch.cuda.stream(stream):
            if (before := moved[turn]) is not None:
                stream.wait_event(before)  # what landed here last is not overwritten before it was moved
            if landed[turn].numel() < size:
                landed[turn] = torch.empty(1 << (size - 1).bit_length(), dtype=torch.int32, device=to.device)
            landed[turn][:size].copy_(slab, non_blocking=True)
            copied: Copied = _recorded(stream)
        computing.wait_event(copied)
        to.copy_(landed[turn][:size])
        moved[turn] = _recorded(computing)
        return copied

    return copy


def _recorded(stream: torch.cuda.Stream) -> torch.cuda.Event:
    event = torch.cuda.Event()
    event.record(stream)
    return event
