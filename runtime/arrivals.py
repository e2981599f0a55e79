"""Submits requests at their times, from a thread of its own: an open loop, whatever the engine is doing."""

import threading

import numpy as np

from ..csrc import Intake
from ..errors import QueueFull
from ..workloads import Trace
from .clock import Clock
from .token_log import Integers

LAG_LIMIT_S = 0.001
"""A run whose requests came later than this, at p99, is marked degraded."""

_REQUESTS = 4096
"""That may be on their way from the submitter to the scheduler."""

_TOKENS, _PAGE_TOKENS = 1 << 20, 256


def intake_tokens(trace: Trace) -> int:
    """Room for the prompts that may be on their way, or for one that is longer."""
    return max(_TOKENS, -(-int(trace.prompt_tokens.max(initial=1)) // _PAGE_TOKENS) * _PAGE_TOKENS)


class Arrivals:
    """A trace's requests as they come: into the queue, from which the scheduler's thread takes them.

    Those of time 0 are submitted before the clock starts. The others become due one by one; `lag_p99_s` is how late
    they were submitted.

    Args:
        memory: (`intake_tokens`,) int32.

    Attributes:
        intake: the queue. A request's ticket is its number in the trace.
    """

    def __init__(self, trace: Trace, prompts: list[Integers], memory: Integers) -> None:
        self._trace, self._prompts = trace, prompts
        self._at_zero = int(np.searchsorted(trace.arrival_ns, 0, side="right"))
        self._next = 0
        self._lags_ns: list[int] = []
        self.intake = Intake(_REQUESTS, memory)
        self._stop = threading.Event()
        self._clock: Clock | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._feed, name="warpgroup-arrivals", daemon=True)

    def submit_first(self) -> bool:
        """Submit requests of time 0, as many as there is room for; whether all of them have been."""
        try:
            while self._next < self._at_zero:
                self._submit(0.0)
        except QueueFull:
            return False
        self._lags_ns = [0] * self._at_zero
        return True

    def start(self, clock: Clock) -> None:
        """Submit the others when they are due by that clock."""
        self._clock = clock
        if self._next < len(self._trace):
            self._thread.start()

    def check(self) -> None:
        """Raise what ended the submitting thread before its time, if anything did."""
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Submit no more."""
        self._stop.set()
        self.intake.close()
        if self._thread.is_alive():
            self._thread.join()

    def _feed(self) -> None:
        clock = self._clock
        assert clock is not None
        while self._next < len(self._trace):
            due_ns = int(self._trace.arrival_ns[self._next])
            if self._stop.wait(max(due_ns - clock.now_ns(), 0) / 1e9):
                return
            try:
                self._submit(None)
            except QueueFull:  # closed
                return
            except BaseException as failure:
                self._failure = failure  # for the thread that waits for these requests
                return
            self._lags_ns.append(clock.now_ns() - due_ns)

    def _submit(self, timeout_s: float | None) -> None:
        request, trace = self._next, self._trace
        ticket = self.intake.submit(
            self._prompts[request],
            trace.max_new_tokens,
            int(trace.arrival_ns[request]),
            int(trace.output_tokens[request]),
            timeout_s,
        )
        assert ticket == request, "tickets are not in the order of submission"
        self._next += 1

    @property
    def over(self) -> bool:
        """Whether all have been submitted and were taken."""
        return self._next == len(self._trace) and not self.intake.queued

    @property
    def lag_p99_s(self) -> float:
        """How late requests were submitted."""
        return float(np.percentile(self._lags_ns, 99)) / 1e9 if self._lags_ns else 0.0
