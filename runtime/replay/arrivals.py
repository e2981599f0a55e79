"""Submits the requests of a trace at their times, from a separate thread, so that a busy engine does not delay them.

In a closed loop, a request that waits for another one is submitted when the engine tells that the other one ended.
"""

import threading

import numpy as np

from ...csrc import Intake
from ...errors import QueueFull
from ...experiment import arrival_queue
from ...workloads import Trace
from ..step.inputs import Integers
from .clock import Clock

LAG_LIMIT_S = 0.001
"""If requests are submitted later than this, at p99, the run is marked degraded."""

_REQUESTS = 4096
"""How many requests the queue holds between the submitter and the scheduler."""

_TOKENS, _PAGE_TOKENS = 1 << 20, 256
"""The prompt tokens that the queue holds, and the size of its pages in tokens."""


def intake_tokens(trace: Trace) -> int:
    """How many prompt tokens the queue must hold: the usual number, or those of the longest prompt if it is longer."""
    return max(_TOKENS, -(-int(trace.prompt_tokens.max(initial=1)) // _PAGE_TOKENS) * _PAGE_TOKENS)


class Arrivals:
    """Puts the requests of a trace into a queue at their times; the scheduler's thread takes them from there.

    Requests of time 0 are submitted before the clock starts. The others become due one by one.

    A request that waits for an answer arrives when that answer ends on the device, but it cannot be submitted before
    the engine tells of that end. The time between the two is the engine's, so it does not count as lag.

    Args:
        prompts: token ids of each request.
        memory: (`intake_tokens`,) int32, for the prompts in the queue.

    Attributes:
        intake: the queue. The id of a request is its number in the trace.
    """

    def __init__(self, trace: Trace, prompts: list[Integers], memory: Integers) -> None:
        self._trace, self._prompts = trace, prompts
        self._coming = arrival_queue(trace)
        self._changed = threading.Condition()  # guards the fields below
        # The thread took a request out and has not submitted it yet: no other request may overtake it.
        self._in_hand = False
        self._told_ns: dict[int, int] = {}  # when the engine told the end of a request
        self._submitted = 0
        self._stopped = False
        self._lags_ns: list[int] = []
        self.intake = Intake(_REQUESTS, memory)
        self._clock: Clock | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._feed, name="warpgroup-arrivals", daemon=True)

    def submit_first(self) -> bool:
        """Submit the requests of time 0 that the queue has space for. Returns whether all of them are submitted."""
        with self._changed:
            return self._submit_due(0)

    def start(self, clock: Clock) -> None:
        """Submit the other requests when they are due by that clock."""
        self._clock = clock
        if self._coming.left:
            self._thread.start()

    def ended(self, request: int, at_ns: int) -> None:
        """A request finished, failed or was rejected: the requests that wait for it become due, perhaps at once."""
        if not self._trace.is_closed_loop:
            return
        with self._changed:
            self._coming.ended(request, at_ns)
            if self._clock is not None:
                self._told_ns[request] = now_ns = self._clock.now_ns()
                if not self._in_hand:
                    self._submit_due(now_ns)
            self._changed.notify()

    def arrival_ns(self, request: int) -> int:
        """When a submitted request arrived."""
        with self._changed:
            return self._coming.arrival_ns(request)

    def check(self) -> None:
        """Raise the exception that ended the submitting thread, if there was one."""
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Stop submitting."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self.intake.close()
        if self._thread.is_alive():
            self._thread.join()

    def _feed(self) -> None:
        try:
            while (due := self._next_due()) is not None:
                self._queue(*due, None)
                with self._changed:
                    self._in_hand = False
                    self._count(*due)
        except QueueFull:  # the queue is closed
            return
        except BaseException as failure:
            self._failure = failure  # `check` raises it in the thread of the loop

    def _next_due(self) -> tuple[int, int] | None:
        """Wait until a request is due and take it: its number and arrival. None: there is nothing more to submit."""
        clock = self._clock
        assert clock is not None
        with self._changed:
            while not self._stopped and self._coming.left:
                request, due_ns = self._coming.next, self._coming.next_ns
                seconds = None if request < 0 else (due_ns - clock.now_ns()) / 1e9
                if seconds is not None and seconds <= 0:
                    self._coming.pop()
                    self._in_hand = True
                    return request, due_ns
                self._changed.wait(seconds)
        return None

    def _submit_due(self, now_ns: int) -> bool:
        """Submit the requests that are due while the queue has space. Returns whether it had space for all."""
        while 0 <= self._coming.next_ns <= now_ns:
            due = self._coming.next, self._coming.next_ns
            try:
                self._queue(*due, 0.0)
            except QueueFull:
                return False
            self._coming.pop()
            self._count(*due)
        return True

    def _queue(self, request: int, arrival_ns: int, timeout_s: float | None) -> None:
        trace = self._trace
        self.intake.submit(
            self._prompts[request],
            trace.max_new_tokens,
            arrival_ns,
            int(trace.output_tokens[request]),
            timeout_s,
            id=request,
        )

    def _count(self, request: int, arrival_ns: int) -> None:
        """Count a submitted request, and how late it was."""
        turns = self._trace.turns
        told_ns = self._told_ns.get(int(turns.after_id[request]), 0) if turns else 0
        self._lags_ns.append(self._clock.now_ns() - max(arrival_ns, told_ns) if self._clock else 0)
        self._submitted += 1

    @property
    def over(self) -> bool:
        """Whether all requests are submitted, and the scheduler took them."""
        return self._submitted == len(self._trace) and not self.intake.queued

    @property
    def lag_p99_s(self) -> float:
        """How late requests were submitted: the 99th percentile."""
        return float(np.percentile(self._lags_ns, 99)) / 1e9 if self._lags_ns else 0.0

    @property
    def is_late(self) -> bool:
        """Whether requests came so late that the run must be marked degraded."""
        return self.lag_p99_s > LAG_LIMIT_S
