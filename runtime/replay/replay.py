"""Replays a trace on an engine under one policy: the loop of plan, launch and commit, with real time between."""

import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import torch

from ...csrc import Drained, PolicySpec, Recorder, StepPlan, StepRecord, StepWorker
from ...experiment import Experiment
from ...records import MachineInfo, Run
from ...records.outcome import conclude
from ..engine.engine import Engine
from ..engine.executor import Executor, Launched
from ..engine.token_log import random_prompts
from ..memory.kv_pool import OutOfVram
from ..memory.vram import Monitor
from ..memory.vram_cap import VramCap
from ..model.weights import dtype_of
from .arrivals import LAG_LIMIT_S, Arrivals
from .clock import Clock, Mark

_SWITCH_S = 0.0005
"""How long Python's other threads wait for the interpreter at most: requests are to be submitted in time."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What a replay is doing, for the eyes of whoever waits for it."""

    ended: int
    tokens: int
    seconds: float
    running: int
    waiting: int
    vram_bytes: int


class ReplayOptions(msgspec.Struct, frozen=True):
    """How a replay runs.

    Attributes:
        plan_ahead: 1: each step is planned while the one before it runs; 0: after it.
    """

    plan_ahead: int = 1
    on_progress: Callable[[Progress], None] | None = None
    command: str = ""


@dataclass(frozen=True, slots=True)
class _Received:
    """What became of requests that came."""

    now_ns: int
    drained: Drained


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A step that was launched and committed, and is yet to be recorded."""

    plan: StepPlan
    facts: StepRecord
    launched: Launched
    drawn: torch.Tensor  # its tokens on the host, once its end is reached
    start: Mark
    end: Mark
    budget_bytes: int
    waited: bool  # there was nothing to do before it
    received: "list[_Received]"  # requests that came before it was planned


class Replay:
    """One trace under one policy on one engine.

    Args:
        experiment: what is run; its memory model is that of the machine.
        fixed_bytes: what the process holds before the first step.
        monitor: says what other processes take meanwhile.
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
        self._experiment, self._policy, self._engine, self._options = experiment, policy, engine, options
        self._scheduler = experiment.scheduler(policy)
        core = self._scheduler.policy
        trace = experiment.trace
        self._recorder = Recorder(len(trace), experiment.memory.budget_bytes)
        self._monitor = monitor
        self._vram_cap = VramCap(
            engine.machine,
            engine.pool,
            experiment.memory,
            cap_bytes=experiment.memory.budget_bytes,
            fixed_bytes=fixed_bytes,
            blind=not core.sees_memory,
        )
        engine.pool.open_host(core.swap_bytes)
        prompts = random_prompts(trace.prompt_tokens, engine.spec.vocab, experiment.seed)
        self._arrivals = Arrivals(trace, prompts, engine.intake_memory.numpy())
        self.executor = Executor(
            engine,
            self._vram_cap,
            trace.prompt_tokens,
            trace.output_tokens,
            seed=experiment.seed,
            padded=core.is_padded,
        )
        self._fixed_bytes = fixed_bytes
        self._budget = experiment.memory.budget_bytes
        self._under_way: deque[_UnderWay] = deque()
        self._busy_ns = self._first_ns = self._last_ns = self._idle_ns = 0
        self._steps = 0
        self._tokens = 0
        self._predicted_peak = self._measured_peak = self._predicted_temporary = 0
        self._waited = False
        self._interrupted = False
        self._begun = False  # a plan, by the worker
        self._submitted = 0  # to the scheduler
        self._received: list[_Received] = []  # since the last plan

    def run(self) -> Run:
        """To the end, or to the end of the step in which SIGINT came."""
        with self._interrupts_noted(), _threads_heard():
            while not self._arrivals.submit_first():
                self._receive(now_ns=0)
            self._receive(now_ns=0)
            self._clock = Clock(self._engine.machine)
            worker = self._start_worker()
            try:
                self._arrivals.start(self._clock)
                self._begin(worker)
                while self._begun and self._step(worker):
                    pass
            finally:
                self._arrivals.stop()
                worker.close()
            self._settle()
            self._note(self._take_received())
            if self._engine.machine.is_cuda:
                torch.cuda.synchronize(self._engine.machine.device)
            return self._conclude()

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

    def _step(self, worker: StepWorker) -> bool:
        """One plan. False at the end."""
        staged = worker.take()
        self._begun = False
        plan = staged.plan
        self._note_received(_Received(plan.plan_ns, staged.drained))
        for failed in plan.failed:
            self._arrivals.ended(failed.id, plan.plan_ns)
        if staged.awaits_tokens:
            self._settle()
        start = self._clock.mark()
        try:
            if plan.horizon == 0:
                self.executor.rest(staged)
                return self._idle(plan, worker)
            launched = self.executor.launch(staged)
        except OutOfVram as error:
            self._run_out(plan, error)
            self._begin(worker)
            return True
        drawn = launched.tokens.to("cpu", non_blocking=True)
        end = self._clock.mark()
        facts = self._scheduler.commit(1, launched.finished)
        self.executor.retire(launched.finished)
        received = self._take_received()
        self._under_way.append(
            _UnderWay(plan, facts, launched, drawn, start, end, self._budget, self._waited, received)
        )
        self._waited = False
        self._settle(leaving=self._options.plan_ahead, then=lambda: self._begin(worker))
        return True

    def _begin(self, worker: StepWorker) -> None:
        """Have the next plan made, unless the run is to end."""
        if self._interrupted:
            return
        self._arrivals.check()
        self._follow_budget()
        self.executor.heed_limit()
        worker.begin(self._engine.turn_slab())
        self._begun = True

    def _receive(self, now_ns: int) -> None:
        """Requests that came before the worker: to the scheduler, their prompts to the log."""
        log = self.executor.log
        drained = self._arrivals.intake.drain(self._scheduler, log.tokens, log.starts)
        self._note_received(_Received(now_ns, drained))

    def _note_received(self, received: _Received) -> None:
        self._submitted += len(received.drained.submitted)
        self._received.append(received)
        for request, _ in received.drained.refused:
            self._arrivals.ended(request, received.now_ns)

    def _planned(self, plan: StepPlan, received: list[_Received]) -> None:
        """Record a plan, and what was received before it, once all steps before it are recorded."""
        self._note(received)
        self._recorder.planned(plan)

    def _note(self, received: list[_Received]) -> None:
        for each in received:
            for request in each.drained.submitted:
                self._recorder.came(request, self._arrivals.arrival_ns(request))
            for request, reason in each.drained.refused:
                self._recorder.rejected(request, each.now_ns, reason)
            for request in each.drained.pressed:
                self._recorder.pressed(request, each.now_ns)

    def _take_received(self) -> list[_Received]:
        received, self._received = self._received, []
        return received

    def _follow_budget(self) -> None:
        """What others took since the start is not ours to use."""
        memory = self._experiment.memory
        left = self._monitor.left_bytes
        budget = memory.budget_bytes if left is None else min(memory.budget_bytes, left)
        budget = max(budget, memory.fixed_bytes + memory.activation_reserve_bytes + memory.block_bytes)
        if budget == self._budget:
            return
        self._budget = budget
        self._scheduler.set_budget(budget)
        self._recorder.budget_changed(self._clock.now_ns(), self._submitted - 1, budget)
        self._vram_cap.set_budget(self._scheduler.memory)

    def _idle(self, plan: StepPlan, worker: StepWorker) -> bool:
        self._settle()
        self._waited = True
        self._planned(plan, self._take_received())
        if plan.wake_ns < 0 and self._arrivals.over:
            assert self._scheduler.waiting == 0, "requests wait, nothing runs and nothing is to come"
            return False
        seconds = None if plan.wake_ns < 0 else max(plan.wake_ns - self._clock.now_ns(), 0) / 1e9
        self._arrivals.intake.wait(min(seconds, 0.1) if seconds is not None else 0.1)
        self._begin(worker)
        return True

    def _run_out(self, plan: StepPlan, error: OutOfVram) -> None:
        self._settle()
        self._planned(plan, self._take_received())
        self._recorder.budget_bytes = self._budget
        if plan.horizon == 0:
            return
        begun_ns = max(plan.plan_ns, self._last_ns)
        self._recorder.ran_out_of_memory(plan, error.needed_bytes, begun_ns, self._clock.now_ns())
        self._scheduler.commit_oom()

    def _settle(self, leaving: int = 0, then: Callable[[], None] | None = None) -> None:
        """Wait for steps and record them, until only so many are under way.

        `then` is called as soon as the tokens of all of them are known, before they are recorded.
        """
        while len(self._under_way) > leaving:
            step = self._under_way.popleft()
            waited, now_ns = step.end.reached(), self._clock.now_ns()
            start_ns, end_ns = self._clock.ns(step.start), self._clock.ns(step.end)
            if waited:
                self._clock.compare(step.end, now_ns)
            places = step.launched.log_places
            self.executor.log.tokens[places] = step.drawn.numpy()[: len(places)]  # behind them: rows that fill a graph
            for request in step.launched.finished:
                self._arrivals.ended(request, end_ns)
            if then and len(self._under_way) == leaving:
                then()
                then = None
            self._account(step, start_ns, end_ns)
            self._planned(step.plan, step.received)
            self._recorder.budget_bytes = step.budget_bytes
            self._recorder.ran(
                step.plan, step.facts, step.launched.peak_bytes, start_ns, end_ns, step.launched.finished
            )
            self._show(step)
        if then:
            then()

    def _account(self, step: _UnderWay, start_ns: int, end_ns: int) -> None:
        if self._steps == 0:
            self._first_ns = self._last_ns = start_ns
        if not step.waited:
            self._idle_ns += max(start_ns - self._last_ns, 0)
        self._busy_ns += end_ns - max(start_ns, self._last_ns)
        self._last_ns = end_ns
        self._steps += 1
        work = step.plan.work
        self._tokens += work.prefill_tokens + work.decode_rows
        activation = self._experiment.memory.activation(
            prefill_tokens=work.prefill_tokens, decode_rows=work.decode_rows, sampled_rows=work.sampled_rows
        )
        self._predicted_temporary = max(self._predicted_temporary, activation.bytes)
        self._predicted_peak = max(self._predicted_peak, step.facts.predicted_bytes)
        self._measured_peak = max(self._measured_peak, step.launched.peak_bytes)

    def _show(self, step: _UnderWay) -> None:
        if self._options.on_progress is None or (
            self._steps % 16 and self._recorder.ended < len(self._experiment.trace)
        ):
            return
        self._options.on_progress(
            Progress(
                ended=self._recorder.ended,
                tokens=self._tokens,
                seconds=self._last_ns / 1e9,
                running=step.facts.running,
                waiting=step.facts.waiting,
                vram_bytes=step.launched.peak_bytes,
            )
        )

    @contextmanager
    def _interrupts_noted(self) -> Iterator[None]:
        """Ctrl-C ends the run after the step that is being planned."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(*_: object) -> None:
            if self._interrupted:
                raise KeyboardInterrupt  # asked twice: the device may not answer any more
            self._interrupted = True

        before = signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _conclude(self) -> Run:
        machine, engine = self._engine.machine, self._engine
        attention = engine.model.attention.name
        span = max(self._last_ns - self._first_ns, 1)
        lag = self._arrivals.lag_p99_s
        info = MachineInfo(
            device=machine.name,
            driver=machine.driver,
            dtype=str(dtype_of(engine.spec)).removeprefix("torch."),
            attention=attention,
            plan_ahead=self._options.plan_ahead,
            graphs=len(engine.graphs),
            graph_rows=engine.graphs.row_sizes,
            temperature=engine.temperature,
            fixed_bytes=self._fixed_bytes,
            predicted_peak_bytes=self._predicted_peak,
            measured_peak_bytes=self._measured_peak,
            predicted_temporary_bytes=self._predicted_temporary,
            measured_temporary_bytes=self._vram_cap.peak_temporary_bytes,
            process_peak_bytes=self._vram_cap.peak_bytes,
            device_peak_bytes=self._monitor.peak_used_bytes,
            busy_share=self._busy_ns / span,
            host_gap_s=self._idle_ns / 1e9 / max(self._steps, 1),
            schedule_lag_p99_s=lag,
            degraded=lag > LAG_LIMIT_S,
        )
        return conclude(
            self._experiment,
            self._policy,
            self._scheduler,
            self._recorder,
            kind="real",
            step_time=f"{engine.spec.name} in {info.dtype} on {machine.name}, attention by {attention}",
            complete=not self._interrupted,
            command=self._options.command,
            machine=info,
        )


@contextmanager
def _threads_heard() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
