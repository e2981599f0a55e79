"""One simulated run: a policy over an experiment."""

from collections.abc import Callable, Sequence
from typing import Any

import simpy

from ..csrc import PolicySpec, Recorder, StepWork, parse_policy
from ..experiment import Experiment, Limits, build_experiment
from ..records import Run
from ..records.outcome import conclude
from ..workloads import DEFAULT_DEVICE, DEFAULT_MODEL, Trace, load_device, load_model
from .executor import SimulatedExecutor
from .step_time import AnalyticStepTime, PerStep, StepTime, shipped_profile


def simulate(
    requests: Experiment | Trace,
    policy: PolicySpec | str,
    *,
    model: str = DEFAULT_MODEL,
    device: str = DEFAULT_DEVICE,
    limits: Limits | None = None,
    step_time: StepTime | Callable[[StepWork], int] | None = None,
    pressure: Sequence[tuple[int, int]] = (),
    pressure_announced: bool = False,
    macro_steps: bool = True,
    stop_on_oom: bool = False,
    plan_ahead: bool = False,
    on_progress: Callable[[int], None] | None = None,
    note: str = "",
    command: str = "",
) -> Run:
    """Run requests to their end under one policy.

    The result is a pure function of the requests, the policy and the step times. Example, with a function that returns
    the nanoseconds of one step::

        trace = Trace.of_rows([(0, 512, 128), (10**9, 2048, 64)], max_new_tokens=1000)
        run = simulate(trace, "skyline", limits=Limits(kv_blocks=400), step_time=lambda work: 10_000_000)
        run.info.summary["e2e_s"]["p99"]

    Args:
        requests: an experiment; or a trace, which runs on `model` and `device` under `limits`.
        policy: a policy, or its text as `parse_policy` reads it.
        step_time: a `StepTime`, or a function from a step's work to its nanoseconds. Default: the profile that ships
            for this model and device; without one, the device's roofline.
        pressure: (time in ns, bytes): the device's memory budget from that time on, as if other programs took or
            returned memory.
        pressure_announced: whether the scheduler learns of `pressure` at once. If false, it learns by running out of
            memory.
        macro_steps: take equal steps as one. This changes how long the simulation takes, and nothing else.
        stop_on_oom: end the run at the first step that runs out of memory. Requests that have not ended by then are
            `aborted`, and the run is marked incomplete. Ctrl-C has the same effect at any time.
        plan_ahead: plan each step when the step before it begins, as replays do. A request that arrives during a step
            is then seen one step later.
        on_progress: called now and then with the number of requests that have ended.
        note, command: text for the record.

    Raises:
        WarpGroupError: an unknown policy, model or device, or limits that leave no memory for the KV cache.
    """
    if isinstance(requests, Trace):
        requests = build_experiment(requests, load_model(model), load_device(device), limits=limits)
    return _simulate(
        requests,
        parse_policy(policy) if isinstance(policy, str) else policy,
        as_step_time(step_time, requests),
        list(pressure),
        pressure_announced=pressure_announced,
        executor_options={
            "macro_steps": macro_steps,
            "stop_on_oom": stop_on_oom,
            "plan_ahead": plan_ahead,
            "on_progress": on_progress,
        },
        note=note,
        command=command,
    )


def as_step_time(given: StepTime | Callable[[StepWork], int] | None, experiment: Experiment) -> StepTime:
    """The given step-time model. Default: the profile that ships for this model and device, else the analytic model."""
    if given is not None:
        return given if isinstance(given, StepTime) else PerStep(given)
    profile = shipped_profile(experiment.model, experiment.device)
    return profile.step_time() if profile else AnalyticStepTime(experiment.memory.geometry, experiment.device)


def _simulate(
    experiment: Experiment,
    policy: PolicySpec,
    step_time: StepTime,
    pressure: list[tuple[int, int]],
    *,
    pressure_announced: bool,
    executor_options: dict[str, Any],
    note: str,
    command: str,
) -> Run:
    scheduler = experiment.scheduler(policy)
    recorder = Recorder(len(experiment.trace), experiment.memory.budget_bytes)
    env = simpy.Environment()
    executor = SimulatedExecutor(env, experiment.trace, scheduler, step_time, recorder, **executor_options)
    env.process(executor.process())
    if pressure:
        env.process(executor.pressure(pressure, announced=pressure_announced))
    interrupted = False
    try:
        env.run()
    except KeyboardInterrupt:
        interrupted = True
    complete = not interrupted and not (executor_options["stop_on_oom"] and recorder.ooms)
    return conclude(
        experiment,
        policy,
        scheduler,
        recorder,
        kind="simulated",
        step_time=step_time.description,
        complete=complete,
        note=note,
        command=command,
    )
