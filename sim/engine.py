"""The simulated executor: one SimPy process that runs the scheduler's plans and lets their durations pass."""

from bisect import bisect_left
from collections.abc import Callable, Generator
from heapq import heappop, heappush
from typing import Any

import simpy

from ..csrc import STEP_RECORD_FIELDS, Scheduler, StepPlan, StepWork
from ..recorder import Recorder
from ..workloads import Trace
from .step_time import FS_PER_NS, StepTime

_NO_WORK = StepWork()
_PREDICTED_BYTES = STEP_RECORD_FIELDS.index("predicted_bytes")


class Endings:
    """Which request makes its last token in which step. Only executors know the true lengths."""

    def __init__(self, output_tokens: list[int]) -> None:
        self._output_tokens = output_tokens
        self._heap: list[tuple[int, int, int]] = []
        self._lives = [0] * len(output_tokens)  # an eviction ends a life: what was expected of it is void

    def evicted(self, request: int) -> None:
        """It lost its cache; its ending is unknown until it has joined again."""
        self._lives[request] += 1

    def joined(self, request: int, generated: int, steps_done: int) -> None:
        """It has `generated` tokens once `steps_done` steps of the run are done, and makes one in each from there."""
        last = steps_done + self._output_tokens[request] - generated
        heappush(self._heap, (last, request, self._lives[request]))

    def next_after(self, steps_done: int, horizon: int) -> int:
        """How many more steps until somebody ends, at most `horizon`."""
        heap = self._heap
        while heap and self._lives[heap[0][1]] != heap[0][2]:
            heappop(heap)
        return min(horizon, heap[0][0] - steps_done) if heap else horizon

    def due(self, steps_done: int) -> list[int]:
        """Those who made their last token in the step that is now done, by id."""
        heap, requests = self._heap, []
        while heap and heap[0][0] == steps_done:
            _, request, life = heappop(heap)
            if self._lives[request] == life:
                requests.append(request)
        return requests


class Engine:
    """Runs one trace to its end.

    Args:
        macro_steps: take steps that are alike as one event. Off, every step is planned by itself; the run is the same.
        stop_on_oom: end the run at the first step that is out of memory (for a search that only asks whether).
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
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self._env = env
        self._scheduler = scheduler
        self._step_time = step_time
        self._recorder = recorder
        self._macro_steps = macro_steps
        self._stop_on_oom = stop_on_oom
        self._on_progress = on_progress
        self._arrival_ns: list[int] = trace.arrival_ns.tolist()
        self._prompt_tokens: list[int] = trace.prompt_tokens.tolist()
        self._max_new_tokens = trace.max_new_tokens
        self._endings = Endings(trace.output_tokens.tolist())
        self._arrived = 0
        self._clock_fs = 0  # the clock to the femtosecond; SimPy's is this one rounded down to nanoseconds

    def process(self) -> Generator[simpy.Event, Any, None]:
        """The SimPy process."""
        while True:
            self._submit_arrived()
            plan = self._scheduler.plan(self._now_ns)
            self._note_changes(plan)
            if plan.horizon == 0:
                wake_ns = self._next_event_ns(plan)
                if wake_ns is None:
                    return
                yield self._sleep_until(wake_ns * FS_PER_NS)
            elif plan.predicted_bytes > self._recorder.budget_bytes:
                # The allocation fails before anything is computed: it costs what a step without work costs.
                yield self._run(_NO_WORK, 1)
                self._scheduler.commit_oom()
                self._recorder.ran_out_of_memory(plan, plan.predicted_bytes, self._now_ns)
                if self._stop_on_oom:
                    return
            else:
                steps = self._steps_to_run(plan)
                yield self._run(plan.work, steps)
                self._commit(plan, steps)

    def _submit_arrived(self) -> None:
        now, arrival_ns = self._now_ns, self._arrival_ns
        while self._arrived < len(arrival_ns) and arrival_ns[self._arrived] <= now:
            request = self._arrived
            submission = self._scheduler.submit(
                request,
                arrival_ns=arrival_ns[request],
                prompt_tokens=self._prompt_tokens[request],
                max_new_tokens=self._max_new_tokens,
            )
            if not submission.accepted:
                self._recorder.rejected(request, now, submission.reason)
            self._arrived += 1

    def _note_changes(self, plan: StepPlan) -> None:
        for evicted in plan.evicted:
            self._endings.evicted(evicted.id)
        for failed in plan.failed:
            self._endings.evicted(failed.id)
        self._recorder.planned(plan)

    def _next_event_ns(self, plan: StepPlan) -> int | None:
        coming = self._arrival_ns[self._arrived : self._arrived + 1]
        if plan.wake_ns >= 0:
            coming.append(plan.wake_ns)
        if coming:
            return min(coming)
        assert self._scheduler.waiting == 0, "requests wait, nothing runs and nothing is to come"
        return None

    def _steps_to_run(self, plan: StepPlan) -> int:
        """As many of the plan's steps as are alike: up to the next ending, or the step in which somebody arrives."""
        if not self._macro_steps or plan.horizon == 1:
            return 1
        steps = self._endings.next_after(plan.step, plan.horizon)
        if steps == 1 or self._arrived == len(self._arrival_ns):
            return steps
        until_arrival = self._arrival_ns[self._arrived] * FS_PER_NS - self._clock_fs
        cumulative_fs, work = self._step_time.cumulative_fs, plan.work
        if cumulative_fs(work, steps) < until_arrival:
            return steps
        return 1 + bisect_left(range(1, steps), until_arrival, key=lambda k: cumulative_fs(work, k))

    def _run(self, work: StepWork, steps: int) -> simpy.Event:
        return self._sleep_until(self._clock_fs + self._step_time.cumulative_fs(work, steps))

    @property
    def _now_ns(self) -> int:
        return self._clock_fs // FS_PER_NS

    def _sleep_until(self, clock_fs: int) -> simpy.Event:
        delay_ns = clock_fs // FS_PER_NS - self._now_ns
        self._clock_fs = clock_fs
        return self._env.timeout(delay_ns)

    def _commit(self, plan: StepPlan, steps: int) -> None:
        steps_done = plan.step + steps
        for joined in plan.joined:
            self._endings.joined(joined.id, joined.generated, plan.step + 1)
        finished = self._endings.due(steps_done)
        facts = self._scheduler.commit(steps, finished)
        self._recorder.ran(plan, facts, facts[_PREDICTED_BYTES], self._now_ns, finished)
        if finished and self._on_progress:
            self._on_progress(self._recorder.ended)
