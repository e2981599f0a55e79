"""The simulated executor as a SimPy process: other processes can act on it between the scheduler's plans."""

from collections.abc import Callable, Generator
from typing import Any

import simpy

from ..csrc import Recorder, Scheduler, SimulatedEngine
from ..experiment import arrival_queue
from ..workloads import Trace
from .step_time import StepTime, native

_PLANS_AT_A_TIME = 4096
"""Control returns to Python after this many plans, so that progress can be shown and Ctrl-C can take effect."""


class SimulatedExecutor:
    """Runs one trace to its end in simulated time.

    The loop of plan, duration and commit is native. It stops whenever another SimPy process has an event, so that
    such processes (see `pressure`) act at their times.

    Args:
        macro_steps: take equal steps as one. If false, each step is planned by itself, with the same results.
        stop_on_oom: end the run at the first step that runs out of memory, for searches that only ask whether one does.
        plan_ahead: plan each step when the step before it begins.
        on_progress: called now and then with the number of requests that have ended.
    """

    def __init__(
        self,
        env: simpy.Environment,
        trace: Trace,
        scheduler: Scheduler,
        step_time: StepTime,
        recorder: Recorder,
        *,
        macro_steps: bool = True,
        stop_on_oom: bool = False,
        plan_ahead: bool = False,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self._env = env
        self._recorder = recorder
        self._on_progress = on_progress
        self._native = SimulatedEngine(
            arrivals=arrival_queue(trace),
            prompt_tokens=trace.prompt_tokens,
            output_tokens=trace.output_tokens,
            max_new_tokens=trace.max_new_tokens,
            scheduler=scheduler,
            step_time=native(step_time),
            recorder=recorder,
            macro_steps=macro_steps,
            stop_on_oom=stop_on_oom,
            plan_ahead=plan_ahead,
        )

    def process(self) -> Generator[simpy.Event, Any, None]:
        """The SimPy process of the run."""
        while not self._native.done:
            ended = self._recorder.ended
            next_event = self._env.peek()
            until_ns = -1 if next_event == float("inf") else int(next_event)
            self._native.advance(until_ns=until_ns, plans=_PLANS_AT_A_TIME)
            if self._on_progress and self._recorder.ended > ended:
                self._on_progress(self._recorder.ended)
            yield self._env.timeout(max(self._native.now_ns - self._env.now, 0))

    def pressure(self, changes: list[tuple[int, int]], *, announced: bool) -> Generator[simpy.Event, Any, None]:
        """A SimPy process that changes the device's memory budget, as if other programs took or returned memory.

        Args:
            changes: (time in ns, new budget in bytes), ascending in time.
            announced: whether the scheduler learns of a change at once, as from a monitor. If false, it learns by
                running out of memory.
        """
        for at_ns, budget_bytes in changes:
            yield self._env.timeout(max(at_ns - self._env.now, 0))
            self._native.set_budget(budget_bytes, announced=announced)
