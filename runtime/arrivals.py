"""Submits requests at their times, from a thread of its own: an open loop, whatever the engine is doing."""

import threading
from collections import deque

import numpy as np
import numpy.typing as npt

from .clock import Clock

LAG_LIMIT_S = 0.001
"""A run whose requests came later than this, at p99, is marked degraded."""


class Arrivals:
    """A trace's requests as they come.

    Those of time 0 are there before the clock starts. The others become due one by one; `lag_s` is how late each was.
    """

    def __init__(self, arrival_ns: npt.NDArray[np.int64], clock: Clock) -> None:
        self._arrival_ns, self._clock = arrival_ns, clock
        at_zero = int(np.searchsorted(arrival_ns, 0, side="right"))
        self._due: deque[int] = deque(range(at_zero))
        self._next = at_zero
        self._lags_ns = [0] * at_zero
        self._came = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._feed, name="warpgroup-arrivals", daemon=True)
        self._feeding = at_zero < len(arrival_ns)

    def __enter__(self) -> "Arrivals":
        if self._feeding:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _feed(self) -> None:
        for request in range(self._next, len(self._arrival_ns)):
            due_ns = int(self._arrival_ns[request])
            if self._stop.wait(max(due_ns - self._clock.now_ns(), 0) / 1e9):
                return
            self._lags_ns.append(self._clock.now_ns() - due_ns)
            self._due.append(request)
            self._came.set()
        self._feeding = False
        self._came.set()

    def take(self) -> list[int]:
        """Requests that came since the last call, in order."""
        self._came.clear()
        return [self._due.popleft() for _ in range(len(self._due))]

    def wait(self, seconds: float | None) -> None:
        """Until another request comes, or so long."""
        if not self._due:
            self._came.wait(seconds)

    @property
    def over(self) -> bool:
        """Whether all have come and were taken."""
        return not self._feeding and not self._due

    @property
    def lag_p99_s(self) -> float:
        """How late requests were submitted."""
        return float(np.percentile(self._lags_ns, 99)) / 1e9 if self._lags_ns else 0.0
