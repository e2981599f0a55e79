"""Replays a trace on an engine under one policy: the loop of plan, launch and commit, in real time."""

from collections import deque
from collections.abc import Callable

import torch

from ...csrc import PolicySpec, StagedStep, StepPlan, StepWorker
from ...experiment import Experiment
from ...records import Run
from ..engine.engine import Engine
from ..engine.executor import Executor, Launched
from ..engine.token_log import random_prompts
from ..memory.kv_pool import OutOfVram
from ..memory.vram import Monitor
from .accounting import Accounting, budget_left
from .arrivals import Arrivals
from .clock import Clock, Mark
from .interrupt import Interrupt, short_thread_switches
from .progress import Progress, ReplayOptions
from .recording import Received, Recording, StepUnderWay, machine_info

_PROGRESS_STEPS = 16
"""The number of steps between two reports of progress."""

_IDLE_S = 0.1
"""The time between two checks of an idle engine whether it must end."""


class Replay:
    """One trace under one policy on one engine.

    Args:
        experiment: what is run; its memory model is that of the machine.
        monitor: tells what other processes take of the device during the run.
        fixed_bytes: what the process holds before the first step.
    """

    def __init__(
        self,
        experiment: Experiment,
        policy: PolicySpec,
        engine: Engine,
        monitor: Monitor,
        *,
        fixed_bytes: int,
        options: ReplayOptions,
    ) -> None:
        self._experiment, self._policy, self._engine = experiment, policy, engine
        self._monitor, self._fixed_bytes, self._options = monitor, fixed_bytes, options
        trace, memory = experiment.trace, experiment.memory
        self._scheduler = experiment.scheduler(policy)
        self.executor = Executor.for_run(engine, experiment, self._scheduler.policy, fixed_bytes=fixed_bytes)
        prompts = random_prompts(trace.prompt_tokens, engine.spec.vocab, experiment.seed)
        self._arrivals = Arrivals(trace, prompts, engine.intake_memory.numpy())
        self._recording = Recording(experiment, self._arrivals)
        self._accounting = Accounting(memory)
        self._interrupt = Interrupt()
        self._budget = memory.budget_bytes
        self._under_way: deque[StepUnderWay] = deque()
        self._is_planning = False  # the worker makes a plan
        self._was_idle = False

    def run(self) -> Run:
        """Run to the end, or to the end of the step during which SIGINT came."""
        with self._interrupt.noted(), short_thread_switches():
            self._submit_first()
            self._clock = Clock(self._engine.machine)
            worker = self._start_worker()
            try:
                self._arrivals.start(self._clock)
                self._begin_plan(worker)
                while self._is_planning and self._step(worker):
                    pass
            finally:
                self._arrivals.stop()
                worker.close()
            self._settle()
            self._recording.close()
            if self._engine.machine.is_cuda:
                torch.cuda.synchronize(self._engine.machine.device)
            return self._conclude()

    def _submit_first(self) -> None:
        """Give the requests of time 0 to the scheduler, and their prompts to the log, before the clock starts."""
        log, are_all_submitted = self.executor.log, False
        while not are_all_submitted:
            are_all_submitted = self._arrivals.submit_first()
            drained = self._arrivals.intake.drain(self._scheduler, log.tokens, log.starts)
            self._receive(Received(0, drained))

    def _start_worker(self) -> StepWorker:
        log = self.executor.log
        return StepWorker(
            self._arrivals.intake,
            self._scheduler,
            self.executor.stager,
            log=log.tokens,
            starts=log.starts,
            zero_ns=self._clock.zero_ns,
        )

    def _receive(self, received: Received) -> None:
        self._recording.receive(received)
        for request, _ in received.drained.refused:
            self._arrivals.ended(request, received.now_ns)

    def _begin_plan(self, worker: StepWorker) -> None:
        """Let the worker make the next plan, unless the run is to end."""
        if self._interrupt.asked:
            return
        self._arrivals.check()
        self._follow_budget()
        self.executor.apply_limit()
        worker.begin(self._engine.turn_slab())
        self._is_planning = True

    def _follow_budget(self) -> None:
        """Change the budget when other processes take or return memory."""
        budget = budget_left(self._experiment.memory, self._monitor)
        if budget == self._budget:
            return
        self._budget = budget
        self._scheduler.set_budget(budget)
        self._recording.budget_changed(self._clock.now_ns(), budget)
        self.executor.vram_cap.set_budget(self._scheduler.memory)

    def _step(self, worker: StepWorker) -> bool:
        """Carry out one plan, and begin the next. False at the end of the run."""
        staged = worker.take()
        self._is_planning = False
        plan = staged.plan
        self._receive(Received(plan.plan_ns, staged.drained))
        for failed in plan.failed:
            self._arrivals.ended(failed.id, plan.plan_ns)
        if staged.awaits_tokens:
            self._settle()
        start = self._clock.mark()
        try:
            if plan.horizon == 0:
                return self._idle(staged, worker)
            launched = self.executor.launch(staged)
        except OutOfVram as error:
            self._run_out(plan, error)
            self._begin_plan(worker)
            return True
        self._commit(plan, launched, start)
        self._settle(leaving=self._options.plan_ahead, then=lambda: self._begin_plan(worker))
        return True

    def _commit(self, plan: StepPlan, launched: Launched, start: Mark) -> None:
        drawn = launched.tokens.to("cpu", non_blocking=True)
        end = self._clock.mark()
        facts = self._scheduler.commit(1, launched.finished)
        self.executor.retire(launched.finished)
        received = self._recording.take_received()
        self._under_way.append(
            StepUnderWay(plan, facts, launched, drawn, start, end, self._budget, self._was_idle, received)
        )
        self._was_idle = False

    def _idle(self, staged: StagedStep, worker: StepWorker) -> bool:
        """Wait for the next request, or for the time at which the plan wants to be made again."""
        plan = staged.plan
        self.executor.rest(staged)
        self._settle()
        self._was_idle = True
        self._recording.idle(plan)
        if plan.wake_ns < 0 and self._arrivals.over:
            assert self._scheduler.waiting == 0, "requests wait, but nothing runs and no request is to come"
            return False
        seconds = _IDLE_S if plan.wake_ns < 0 else max(plan.wake_ns - self._clock.now_ns(), 0) / 1e9
        self._arrivals.intake.wait(min(seconds, _IDLE_S))
        self._begin_plan(worker)
        return True

    def _run_out(self, plan: StepPlan, error: OutOfVram) -> None:
        """There is no memory for the plan: the scheduler decides what happens to its requests."""
        self._settle()
        begun_ns = max(plan.plan_ns, self._accounting.last_ns)
        self._recording.ran_out_of_memory(
            plan, error.needed_bytes, begun_ns=begun_ns, now_ns=self._clock.now_ns(), budget_bytes=self._budget
        )
        if plan.horizon:
            self._scheduler.commit_oom()

    def _settle(self, leaving: int = 0, then: Callable[[], None] | None = None) -> None:
        """Wait for steps and record them, until only `leaving` are under way.

        `then` is called as soon as the tokens of all the others are known, before these are recorded.
        """
        while len(self._under_way) > leaving:
            step = self._under_way.popleft()
            start_ns, end_ns = self._await(step)
            if then and len(self._under_way) == leaving:
                then()
                then = None
            self._record(step, start_ns, end_ns)
        if then:
            then()

    def _await(self, step: StepUnderWay) -> tuple[int, int]:
        """Wait for the end of a step, and write its tokens to the log. Returns when it began and ended."""
        waited, now_ns = step.end.reached(), self._clock.now_ns()
        start_ns, end_ns = self._clock.ns(step.start), self._clock.ns(step.end)
        if waited:
            self._clock.set_device_time(step.end, now_ns)
        places = step.launched.log_places
        self.executor.log.tokens[places] = step.drawn.numpy()[: len(places)]  # the rest are rows that pad a graph
        for request in step.launched.finished:
            self._arrivals.ended(request, end_ns)
        return start_ns, end_ns

    def _record(self, step: StepUnderWay, start_ns: int, end_ns: int) -> None:
        peak_bytes = step.launched.peak_bytes
        self._accounting.add(
            step.plan, step.facts, peak_bytes=peak_bytes, start_ns=start_ns, end_ns=end_ns, was_idle=step.was_idle
        )
        self._recording.ran(step, start_ns, end_ns)
        tell, accounting, ended = self._options.on_progress, self._accounting, self._recording.ended
        if tell and (accounting.steps % _PROGRESS_STEPS == 0 or ended == len(self._experiment.trace)):
            facts, seconds = step.facts, accounting.last_ns / 1e9
            tell(Progress(ended, accounting.tokens, seconds, facts.running, facts.waiting, peak_bytes))

    def _conclude(self) -> Run:
        info = machine_info(
            self._engine,
            self._accounting,
            self.executor.vram_cap,
            self._monitor,
            self._arrivals,
            fixed_bytes=self._fixed_bytes,
            plan_ahead=self._options.plan_ahead,
        )
        return self._recording.conclude(
            self._policy,
            self._scheduler,
            info,
            complete=not self._interrupt.asked,
            command=self._options.command,
        )
