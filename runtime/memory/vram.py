"""How much of the device's memory is whose: NVML's count of all of it, and what of that is ours."""

import threading
from collections.abc import Callable

import torch

from ..machine import Machine, uuid_of

SAMPLE_S = 0.02
"""How often the monitor looks. NVML answers in tens of microseconds."""

GRAIN_BYTES = 64 << 20
"""Others' memory counts in steps of this size, rounded up, so that the budget does not follow every small change."""


def device_used(machine: Machine) -> Callable[[], int]:
    """A function that returns the bytes in use on the device, by whoever; without NVML as CUDA itself counts them."""
    if not machine.is_cuda:
        return lambda: 0
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid_of(torch.cuda.get_device_properties(machine.device)))
        pynvml.nvmlDeviceGetMemoryInfo(handle)
    except Exception:  # no NVML, or one that does not know this card: CUDA can answer, a little slower
        return lambda: _used_by_cuda(machine.device)
    return lambda: int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)


def _used_by_cuda(device: torch.device) -> int:
    free, total = torch.cuda.mem_get_info(device)
    return int(total - free)


class Monitor:
    """Samples the device's memory in a thread of its own, and says how much others took since it was started.

    Args:
        total_bytes: of the device.
        used: bytes in use on the device, by whoever.
        ours: bytes that this process holds, as far as it changes.
        rest_bytes: used less ours when the engine had just been opened.
        before_bytes: what others held before this process came.
    """

    def __init__(
        self,
        total_bytes: int,
        used: Callable[[], int],
        ours: Callable[[], int],
        *,
        rest_bytes: int = 0,
        before_bytes: int = 0,
    ) -> None:
        self._used, self._ours = used, ours
        self._others = rest_bytes
        self._left_at_start = total_bytes - before_bytes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="warpgroup-vram", daemon=True)
        self.taken_bytes = 0
        """What others hold more than when the engine was opened, rounded up to `GRAIN_BYTES`; never below 0."""

        self.peak_used_bytes = 0
        """The most that was in use on the device, as sampled."""

    @property
    def left_bytes(self) -> int | None:
        """What of the device is left to us; None while others take no more than at the start."""
        return self._left_at_start - self.taken_bytes if self.taken_bytes else None

    def __enter__(self) -> "Monitor":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self.look()

    def look(self) -> None:
        """Take one sample."""
        # Ours is read on both sides: memory that we take or return between the two readings is not others'.
        before, used, after = self._ours(), self._used(), self._ours()
        self.peak_used_bytes = max(self.peak_used_bytes, used)
        if before == after:
            taken = used - after - self._others
            self.taken_bytes = max(-(-(taken - GRAIN_BYTES // 4) // GRAIN_BYTES) * GRAIN_BYTES, 0)
