"""Replay parity: a real run's recorded inputs, fed to the simulator, must give the very same plans.

What the core was told in order (submissions, budgets, times of plans, outcomes of steps) stands in the record, so the
plans can be made again without a GPU. Where they differ, something decided that was not recorded: a bug.
"""

from dataclasses import dataclass

import numpy as np

from ..csrc import EVENTS, STEP_EVENTS, STEP_FIELDS, ArrivalQueue, Recorder, SimulatedEngine
from ..errors import InvalidRun
from ..records import Columns, Run
from ..records.outcome import conclude, restore
from .simulate import as_step_time
from .step_time.roofline import native

_OF_THE_EXECUTOR = ("plan_ns", "start_ns", "duration_ns", "vram_used_bytes", "vram_budget_bytes")
"""Columns of a step that the core does not decide."""

_OOM = STEP_EVENTS.index("oom")


@dataclass(frozen=True, slots=True)
class Parity:
    """A recorded run, made again.

    Attributes:
        run: as simulated, with the recorded times; None if a plan contradicted what came of it.
        difference: the first plan that differs, in words; None: all are the same.
    """

    run: Run | None
    difference: str | None


def follow(recorded: Run) -> Parity:
    """Make a run's plans again from its record.

    Raises InvalidRun: the record does not say enough, or is of a simulation that took several steps as one.
    """
    experiment, policy = restore(recorded)
    steps = recorded.steps
    if len(steps["steps"]) and int(steps["steps"].max()) > 1:
        raise InvalidRun("the run took several steps as one, as simulations do: only real runs can be followed")
    scheduler = experiment.scheduler(policy)
    recorder = Recorder(len(experiment.trace), experiment.memory.budget_bytes)
    engine = SimulatedEngine(
        arrivals=ArrivalQueue(arrival_ns=recorded.requests["arrival_ns"]),
        prompt_tokens=experiment.trace.prompt_tokens,
        output_tokens=experiment.trace.output_tokens,
        max_new_tokens=experiment.trace.max_new_tokens,
        scheduler=scheduler,
        step_time=native(as_step_time(None, experiment)),
        recorder=recorder,
    )
    submissions = _Submissions(engine, recorded.requests)
    stopped = _follow_steps(engine, submissions, recorded)
    if stopped is not None:
        return Parity(None, _first_difference(steps, recorder.steps()) or stopped)
    if recorded.info.complete:
        submissions.rest()
        engine.follow_end()
    # Of an interrupted run plans without a step may be in the hash that are in no record.
    same = not recorded.info.complete or recorded.info.plan_hash == f"{scheduler.plan_hash:016x}"
    run = conclude(
        experiment,
        policy,
        scheduler,
        recorder,
        kind="simulated",
        step_time=recorded.info.scenario.step_time,
        recorded_times=True,
        complete=recorded.info.complete and same,
    )
    difference = _first_difference(steps, run.steps)
    if same or difference:
        return Parity(run, difference)
    hashes = f"the plans' hash is {run.info.plan_hash} here and {recorded.info.plan_hash} in the run"
    return Parity(run, f"every step is the same, but {hashes}")


class _Submissions:
    """The requests of a run in the order in which they were submitted."""

    def __init__(self, engine: SimulatedEngine, requests: Columns) -> None:
        self._engine = engine
        tickets = requests.get("ticket", requests["id"])
        order = np.argsort(tickets, kind="stable")
        self._left = order[tickets[order] >= 0].tolist()[::-1]
        self._submitted = 0

    def up_to(self, ticket: int, now_ns: int) -> None:
        """Those that the plan of that time was the first to see."""
        while self._left and self._submitted <= ticket:
            self._engine.submit(self._left.pop(), now_ns)
            self._submitted += 1

    def rest(self) -> None:
        """Those that came after the last step."""
        self.up_to(self._submitted + len(self._left), self._engine.now_ns)


def _follow_steps(engine: SimulatedEngine, submissions: _Submissions, recorded: Run) -> str | None:
    """Every recorded step, and every budget in its place; what stopped it, if anything did."""
    steps, budgets = recorded.steps, _budgets(recorded.events)
    rows = zip(
        *(
            steps[name].tolist()
            for name in ("plan_ns", "start_ns", "duration_ns", "ticket", "event", "predicted_bytes")
        ),
        strict=True,
    )
    for row, (plan_ns, start_ns, duration_ns, ticket, event, needed_bytes) in enumerate(rows):
        while budgets and budgets[-1][0] <= plan_ns:
            now_ns, after, budget_bytes = budgets.pop()
            submissions.up_to(after, now_ns)
            engine.follow_budget(now_ns=now_ns, budget_bytes=budget_bytes)
        try:
            submissions.up_to(ticket, plan_ns)
            ran = engine.follow(
                plan_ns=plan_ns,
                start_ns=start_ns,
                end_ns=start_ns + duration_ns,
                needed_bytes=needed_bytes if event == _OOM else 0,
            )
        except (RuntimeError, ValueError) as error:
            return f"plan {row}, at {plan_ns / 1e9:.6f} s, contradicts what came of it in the run: {error}"
        if not ran:
            return f"plan {row}, at {plan_ns / 1e9:.6f} s, has no step here and had one in the run"
    for now_ns, after, budget_bytes in reversed(budgets):
        submissions.up_to(after, now_ns)
        engine.follow_budget(now_ns=now_ns, budget_bytes=budget_bytes)
    return None


def _budgets(events: Columns) -> list[tuple[int, int, int]]:
    """(time, ticket after which, bytes) of every budget that the scheduler was told of, the last one first."""
    told = events["event"] == EVENTS.index("budget")
    return [*zip(*(events[name][told].tolist()[::-1] for name in ("t_ns", "request", "bytes")), strict=True)]


def _first_difference(recorded: Columns, made: Columns) -> str | None:
    """The first step that is not the same, and in what."""
    count = len(made["step"])
    names = [name for name in STEP_FIELDS if name in recorded and name not in _OF_THE_EXECUTOR]
    unlike = np.zeros(count, dtype=bool)
    for name in names:
        unlike |= recorded[name][:count] != made[name]
    if not unlike.any():
        return None
    row = int(unlike.argmax())
    what = ", ".join(
        f"{name} {int(recorded[name][row])} in the run and {int(made[name][row])} here"
        for name in names
        if recorded[name][row] != made[name][row]
    )
    return f"plan {row}, at {int(recorded['plan_ns'][row]) / 1e9:.6f} s, differs: {what}"
