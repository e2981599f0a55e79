"""Copies the inputs of a step from host memory to the device."""

from collections.abc import Callable
from typing import Protocol

import torch

from ..machine import Machine


class Copied(Protocol):
    """A copy that was started."""

    def synchronize(self) -> None:
        """Wait until its source may be overwritten."""


Copy = Callable[[torch.Tensor, torch.Tensor], Copied | None]
"""A function of (device tensor, host tensor). The copy ends before the next step is computed; None: it has ended."""


def copy_for(machine: Machine) -> Copy:
    """The way to copy on this machine."""
    return on_copy_stream(machine) if machine.is_cuda else at_once


def at_once(to: torch.Tensor, slab: torch.Tensor) -> None:
    """The caller waits for the copy."""
    to.copy_(slab)


def on_copy_stream(machine: Machine) -> Copy:
    """Copies on a separate stream while the step before is computed.

    Between the two steps the inputs are only moved within the device, to where the step reads them.
    """
    stream = torch.cuda.Stream(machine.device)
    staged = [torch.empty(0, dtype=torch.int32, device=machine.device)] * 2
    moved: list[torch.cuda.Event | None] = [None, None]
    turn = 0

    def copy(to: torch.Tensor, slab: torch.Tensor) -> Copied:
        nonlocal turn
        turn, size, computing = 1 - turn, slab.numel(), torch.cuda.current_stream(to.device)
        with torch.cuda.stream(stream):
            if (before := moved[turn]) is not None:
                stream.wait_event(before)  # the last inputs must be moved away before they are overwritten
            if staged[turn].numel() < size:
                staged[turn] = torch.empty(1 << (size - 1).bit_length(), dtype=torch.int32, device=to.device)
            staged[turn][:size].copy_(slab, non_blocking=True)
            copied: Copied = _recorded(stream)
        computing.wait_event(copied)
        to.copy_(staged[turn][:size])
        moved[turn] = _recorded(computing)
        return copied

    return copy


def _recorded(stream: torch.cuda.Stream) -> torch.cuda.Event:
    event = torch.cuda.Event()
    event.record(stream)
    return event
