"""Submits requests at their times, from a thread of its own, whatever the engine is doing; those that wait for the end
of another, when that has been told.
"""

import threading

import numpy as np

from ...csrc import Intake
from ...errors import QueueFull
from ...experiment import arrival_queue
from ...workloads import Trace
from ..engine.token_log import Integers
from .clock import Clock

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
    they were submitted. Who waits for an answer cannot come before the engine has told of it, though its arrival counts
    from the end of that answer on the device: what passes in between is the engine's own, and no lateness.

    Args:
        memory: (`intake_tokens`,) int32.

    Attributes:
        intake: the queue. A request's id is its number in the trace.
    """

    def __init__(self, trace: Trace, prompts: list[Integers], memory: Integers) -> None:
        self._trace, self._prompts = trace, prompts
        self._coming = arrival_queue(trace)
        self._changed = threading.Condition()  # holds all of what follows
        self._in_hand = False  # one was taken out by the thread, and is not submitted yet: nobody may overtake it
        self._told_ns: dict[int, int] = {}  # when the end of a request was told
        self._submitted = 0
        self._stopped = False
        self._lags_ns: list[int] = []
        self.intake = Intake(_REQUESTS, memory)
        self._clock: Clock | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._feed, name="warpgroup-arrivals", daemon=True)

    def submit_first(self) -> bool:
        """Submit requests of time 0, as many as there is room for; whether all of them have been."""
        with self._changed:
            return self._submit_due(0)

    def start(self, clock: Clock) -> None:
        """Submit the others when they are due by that clock."""
        self._clock = clock
        if self._coming.left:
            self._thread.start()

    def ended(self, request: int, at_ns: int) -> None:
        """A request has ended, whichever way: those that wait for it become due, some of them at once."""
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
        """When a request came that was submitted."""
        with self._changed:
            return self._coming.arrival_ns(request)

    def check(self) -> None:
        """Raise what ended the submitting thread before its time, if anything did."""
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Submit no more."""
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
        except QueueFull:  # closed
            return
        except BaseException as failure:
            self._failure = failure  # for the thread that waits for these requests

    def _next_due(self) -> tuple[int, int] | None:
        """Wait until one is due, and take it: who, and when it arrived. None: none is to be submitted any more."""
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
        """Submit those that are due, as long as there is room for them; whether there was."""
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
        """One more was submitted, so late."""
        turns = self._trace.turns
        told_ns = self._told_ns.get(int(turns.after_id[request]), 0) if turns else 0
        self._lags_ns.append(self._clock.now_ns() - max(arrival_ns, told_ns) if self._clock else 0)
        self._submitted += 1

    @property
    def over(self) -> bool:
        """Whether all have been submitted and were taken."""
        return self._submitted == len(self._trace) and not self.intake.queued

    @property
    def lag_p99_s(self) -> float:
        """How late requests were submitted."""
        return float(np.percentile(self._lags_ns, 99)) / 1e9 if self._lags_ns else 0.0
