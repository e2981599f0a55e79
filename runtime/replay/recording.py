"""The record of a replay: every input of the scheduler in its order, and every step that ran."""

from dataclasses import dataclass

import torch

from ...csrc import Drained, PolicySpec, Recorder, Scheduler, StepPlan, StepRecord
from ...experiment import Experiment
from ...records import MachineInfo, Run
from ...records.outcome import conclude
from ..engine.engine import Engine
from ..engine.executor import Launched
from ..memory.vram import Monitor
from ..memory.vram_cap import VramCap
from ..model.weights import dtype_of
from .accounting import Accounting
from .arrivals import Arrivals
from .clock import Mark


@dataclass(frozen=True, slots=True)
class Received:
    """Requests that the scheduler took from the queue at one time, and which of them it refused."""

    now_ns: int
    drained: Drained


@dataclass(frozen=True, slots=True)
class StepUnderWay:
    """A step that was launched and committed, and is not recorded yet.

    Attributes:
        drawn: its tokens on the host, valid once `end` is reached.
        budget_bytes: under which it was planned.
        was_idle: there was nothing to compute before it.
        received: requests that came before it was planned.
    """

    plan: StepPlan
    facts: StepRecord
    launched: Launched
    drawn: torch.Tensor
    start: Mark
    end: Mark
    budget_bytes: int
    was_idle: bool
    received: list[Received]


class Recording:
    """Writes the record. Plans are recorded in their order, each after the requests that came before it.

    Args:
        arrivals: knows when each request arrived.
    """

    def __init__(self, experiment: Experiment, arrivals: Arrivals) -> None:
        self._experiment, self._arrivals = experiment, arrivals
        self._recorder = Recorder(len(experiment.trace), experiment.memory.budget_bytes)
        self._received: list[Received] = []  # since the last plan that was launched
        self._submitted = 0  # to the scheduler

    @property
    def ended(self) -> int:
        """How many requests finished, failed or were rejected."""
        return self._recorder.ended

    def receive(self, received: Received) -> None:
        """Keep requests until the plan is recorded before which they came."""
        self._submitted += len(received.drained.submitted)
        self._received.append(received)

    def take_received(self) -> list[Received]:
        """The requests that came since the last call."""
        received, self._received = self._received, []
        return received

    def budget_changed(self, now_ns: int, budget_bytes: int) -> None:
        """Another budget holds from the next plan on."""
        self._recorder.budget_changed(now_ns, self._submitted - 1, budget_bytes)

    def idle(self, plan: StepPlan) -> None:
        """Record a plan without a step. All steps before it are recorded."""
        self._planned(plan, self.take_received())

    def ran(self, step: StepUnderWay, start_ns: int, end_ns: int) -> None:
        """Record a step that ended, and its plan. All steps before it are recorded."""
        self._planned(step.plan, step.received)
        self._recorder.budget_bytes = step.budget_bytes
        self._recorder.ran(step.plan, step.facts, step.launched.peak_bytes, start_ns, end_ns, step.launched.finished)

    def ran_out_of_memory(
        self, plan: StepPlan, needed_bytes: int, *, begun_ns: int, now_ns: int, budget_bytes: int
    ) -> None:
        """Record that there was no memory for a plan. All steps before it are recorded."""
        self._planned(plan, self.take_received())
        self._recorder.budget_bytes = budget_bytes
        if plan.horizon:
            self._recorder.ran_out_of_memory(plan, needed_bytes, begun_ns, now_ns)

    def close(self) -> None:
        """Record the requests that came after the last plan."""
        self._note(self.take_received())

    def conclude(
        self, policy: PolicySpec, scheduler: Scheduler, machine: MachineInfo, *, complete: bool, command: str
    ) -> Run:
        """The run."""
        experiment = self._experiment
        on = f"{experiment.model.name} in {machine.dtype} on {machine.device}"
        return conclude(
            experiment,
            policy,
            scheduler,
            self._recorder,
            kind="real",
            step_time=f"{on}, attention by {machine.attention}",
            complete=complete,
            command=command,
            machine=machine,
        )

    def _planned(self, plan: StepPlan, received: list[Received]) -> None:
        self._note(received)
        self._recorder.planned(plan)

    def _note(self, received: list[Received]) -> None:
        for each in received:
            for request in each.drained.submitted:
                self._recorder.came(request, self._arrivals.arrival_ns(request))
            for request, reason in each.drained.refused:
                self._recorder.rejected(request, each.now_ns, reason)
            for request in each.drained.pressed:
                self._recorder.pressed(request, each.now_ns)


def machine_info(
    engine: Engine,
    accounting: Accounting,
    vram_cap: VramCap,
    monitor: Monitor,
    arrivals: Arrivals,
    *,
    fixed_bytes: int,
    plan_ahead: int,
) -> MachineInfo:
    """What the record says about the machine, the engine, and how well the engine kept up."""
    machine = engine.machine
    return MachineInfo(
        device=machine.name,
        driver=machine.driver,
        dtype=str(dtype_of(engine.spec)).removeprefix("torch."),
        attention=engine.model.attention.name,
        plan_ahead=plan_ahead,
        graphs=len(engine.graphs),
        graph_rows=engine.graphs.row_sizes,
        temperature=engine.temperature,
        fixed_bytes=fixed_bytes,
        predicted_peak_bytes=accounting.predicted_peak_bytes,
        measured_peak_bytes=accounting.measured_peak_bytes,
        predicted_temporary_bytes=accounting.predicted_temporary_bytes,
        measured_temporary_bytes=vram_cap.peak_temporary_bytes,
        process_peak_bytes=vram_cap.peak_bytes,
        device_peak_bytes=monitor.peak_used_bytes,
        busy_share=accounting.busy_share,
        host_gap_s=accounting.host_gap_s,
        schedule_lag_p99_s=arrivals.lag_p99_s,
        degraded=arrivals.is_late,
    )
