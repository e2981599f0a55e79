"""How much memory of the device other processes use: all that NVML counts, less what this process holds."""

import threading
from collections.abc import Callable

import torch

from ..machine import Machine, uuid_of

SAMPLE_S = 0.02
"""How often the monitor samples. NVML answers in tens of microseconds."""

GRAIN_BYTES = 64 << 20
"""The memory of other processes is rounded up to this, so that the budget does not follow every small change."""


def device_used(machine: Machine) -> Callable[[], int]:
    """A function that returns the bytes that all processes use on the device: by NVML, or by CUDA without NVML."""
    if not machine.is_cuda:
        return lambda: 0
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid_of(torch.cuda.get_device_properties(machine.device)))
        pynvml.nvmlDeviceGetMemoryInfo(handle)
    except Exception:  # NVML is missing or does not know this card: CUDA answers too, a little slower
        return lambda: _used_by_cuda(machine.device)
    return lambda: int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)


def _used_by_cuda(device: torch.device) -> int:
    free, total = torch.cuda.mem_get_info(device)
    return int(total - free)


class Monitor:
    """Samples the memory of the device in a separate thread: how much more do other processes hold than at the start?

    Args:
        total_bytes: of the device.
        used: returns the bytes that all processes use on the device.
        ours: returns the bytes that this process takes and gives back during a run.
        rest_bytes: `used` less `ours` when the engine was opened.
        before_bytes: what other processes held before this one started.
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
        """How much more other processes hold than when the engine was opened, rounded to `GRAIN_BYTES`; at least 0."""

        self.peak_used_bytes = 0
        """The most that was in use on the device at a sample."""

    @property
    def left_bytes(self) -> int | None:
        """What other processes leave to this one; None if they take no more than at the start."""
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
        # `ours` is read before and after: if it changed, the difference is not the memory of other processes.
        before, used, after = self._ours(), self._used(), self._ours()
        self.peak_used_bytes = max(self.peak_used_bytes, used)
        if before == after:
            taken = used - after - self._others
            self.taken_bytes = max(-(-(taken - GRAIN_BYTES // 4) // GRAIN_BYTES) * GRAIN_BYTES, 0)
