"""The simulated executor as a SimPy process: other processes act on it between the scheduler's plans."""

from collections.abc import Callable, Generator
from typing import Any

import simpy

from ..csrc import Recorder, Scheduler, SimulatedEngine
from ..experiment import arrival_queue
from ..workloads import Trace
from .step_time.roofline import StepTime, native

_PLANS_AT_A_TIME = 4096
"""After so many plans control comes back, so that progress can be shown and Ctrl-C is heard."""


class SimulatedExecutor:
    """Runs one trace to its end in simulated time.

    The loop of plan, duration and commit is native; SimPy's clock moves on whenever another process has an event, so
    that those processes (see `pressure`) act at their times.

    Args:
        macro_steps: take steps that are alike as one. Off, every step is planned by itself; the run is the same.
        stop_on_oom: end the run at the first step that is out of memory (for a search that only asks whether).
        plan_ahead: plan each step when the one before it begins.
        on_progress: called with the number of requests that have ended, now and then.
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
        """The SimPy process."""
        while not self._native.done:
            ended = self._recorder.ended
            coming = self._env.peek()
            self._native.advance(until_ns=-1 if coming == float("inf") else int(coming), plans=_PLANS_AT_A_TIME)
            if self._on_progress and self._recorder.ended > ended:
                self._on_progress(self._recorder.ended)
            yield self._env.timeout(max(self._native.now_ns - self._env.now, 0))

    def pressure(self, changes: list[tuple[int, int]], *, announced: bool) -> Generator[simpy.Event, Any, None]:
        """A SimPy process: at each (time in ns, bytes) the device's budget becomes that, since others take memory.

        If `announced` the scheduler learns of it at once, as from a monitor; if not, by running out of memory.
        """
        for at_ns, budget_bytes in changes:
            yield self._env.timeout(max(at_ns - self._env.now, 0))
            self._native.set_budget(budget_bytes, announced=announced)
