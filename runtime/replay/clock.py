"""When steps begin and end: by CUDA events on a GPU, by the clock of the host on a CPU."""

import time
from dataclasses import dataclass

import torch

from ..machine import Machine

_AGAIN_NS = 10 * 10**9
"""How often the clock of the device is set by that of the host. In between they drift apart by microseconds."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment: an event that the device will reach, or a time that already passed."""

    event: torch.cuda.Event | None
    ns: int = 0

    def reached(self) -> bool:
        """Wait until the device reaches the event. Returns whether it was necessary to wait."""
        if self.event is None or self.event.query():
            return False
        self.event.synchronize()
        return True


class Clock:
    """Nanoseconds since the run began, for the host and for the device."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        if machine.is_cuda:
            torch.cuda.synchronize(machine.device)
        self.zero_ns = time.perf_counter_ns()
        """When the run began, by `time.perf_counter_ns`."""
        self._base = self.mark()
        self._base.reached()
        self._base_ns = self.now_ns()

    def now_ns(self) -> int:
        """The time of the host."""
        return time.perf_counter_ns() - self.zero_ns

    def mark(self) -> Mark:
        """The moment at which the device completes all work that was launched so far."""
        if not self._machine.is_cuda:
            return Mark(None, self.now_ns())
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return Mark(event)

    def ns(self, mark: Mark) -> int:
        """The time of a mark that the device reached."""
        if mark.event is None:
            return mark.ns
        assert self._base.event is not None
        return self._base_ns + int(self._base.event.elapsed_time(mark.event) * 1e6)

    def set_device_time(self, mark: Mark, now_ns: int) -> None:
        """Set the clock of the device by a mark that it reached at `now_ns` of the host, every 10 seconds."""
        if now_ns - self._base_ns > _AGAIN_NS:
            self._base_ns, self._base = now_ns, mark
