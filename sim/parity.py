"""Replay parity: the recorded inputs of a real run, fed to the simulator, must give the same plans.

The record holds all inputs of the core in order: submissions, budgets, times of plans, outcomes of steps. So the plans
can be made again without a GPU. If they differ, a decision depended on something that is not recorded: a bug.
"""

from dataclasses import dataclass

import numpy as np

from ..csrc import EVENTS, STEP_EVENTS, STEP_FIELDS, ArrivalQueue, Recorder, SimulatedEngine
from ..errors import InvalidRun
from ..records import Columns, Run
from ..records.outcome import conclude, restore
from .simulate import as_step_time
from .step_time import native

_EXECUTOR_COLUMNS = ("plan_ns", "start_ns", "duration_ns", "vram_used_bytes", "vram_budget_bytes")
"""Columns of a step that the executor decides, not the core."""

_OOM = STEP_EVENTS.index("oom")


@dataclass(frozen=True, slots=True)
class Parity:
    """A recorded run, made again.

    Attributes:
        run: the simulated run with the recorded times; None if a plan contradicts its recorded outcome.
        difference: a sentence about the first plan that differs; None if all plans are the same.
    """

    run: Run | None
    difference: str | None


def follow(recorded: Run) -> Parity:
    """Make a run's plans again from its record.

    Raises:
        InvalidRun: the record lacks an input, or belongs to a simulation that took several steps as one.
    """
    experiment, policy = restore(recorded)
    steps = recorded.steps
    if len(steps["steps"]) and int(steps["steps"].max()) > 1:
        raise InvalidRun("the run took several steps as one, as simulations do: only replays can be checked")
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
    # The hash of an interrupted run may include plans without a step, which the record does not have.
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
    """Submits the requests of a run in the recorded order."""

    def __init__(self, engine: SimulatedEngine, requests: Columns) -> None:
        self._engine = engine
        tickets = requests.get("ticket", requests["id"])
        order = np.argsort(tickets, kind="stable")
        self._left = order[tickets[order] >= 0].tolist()[::-1]
        self._submitted = 0

    def up_to(self, ticket: int, now_ns: int) -> None:
        """Submit the requests up to this ticket, which the plan at `now_ns` was the first to see."""
        while self._left and self._submitted <= ticket:
            self._engine.submit(self._left.pop(), now_ns)
            self._submitted += 1

    def rest(self) -> None:
        """Submit the requests that arrived after the last step."""
        self.up_to(self._submitted + len(self._left), self._engine.now_ns)


def _follow_steps(engine: SimulatedEngine, submissions: _Submissions, recorded: Run) -> str | None:
    """Repeat each recorded step, and each budget in its place. Returns why it stopped early, or None."""
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
            return f"plan {row}, at {plan_ns / 1e9:.6f} s, contradicts its outcome in the run: {error}"
        if not ran:
            return f"plan {row}, at {plan_ns / 1e9:.6f} s, has no step here but had one in the run"
    for now_ns, after, budget_bytes in reversed(budgets):
        submissions.up_to(after, now_ns)
        engine.follow_budget(now_ns=now_ns, budget_bytes=budget_bytes)
    return None


def _budgets(events: Columns) -> list[tuple[int, int, int]]:
    """(time in ns, ticket of the submission before it, bytes) of each change of the budget, the last one first."""
    changes = events["event"] == EVENTS.index("budget")
    return [*zip(*(events[name][changes].tolist()[::-1] for name in ("t_ns", "request", "bytes")), strict=True)]


def _first_difference(recorded: Columns, made: Columns) -> str | None:
    """A sentence about the first step that differs; None if all are the same."""
    count = len(made["step"])
    names = [name for name in STEP_FIELDS if name in recorded and name not in _EXECUTOR_COLUMNS]
    differs = np.zeros(count, dtype=bool)
    for name in names:
        differs |= recorded[name][:count] != made[name]
    if not differs.any():
        return None
    row = int(differs.argmax())
    columns = ", ".join(
        f"{name} {int(recorded[name][row])} in the run and {int(made[name][row])} here"
        for name in names
        if recorded[name][row] != made[name][row]
    )
    return f"plan {row}, at {int(recorded['plan_ns'][row]) / 1e9:.6f} s, differs: {columns}"
