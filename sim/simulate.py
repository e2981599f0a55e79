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
from .step_time.profile import shipped_profile
from .step_time.roofline import AnalyticStepTime, PerStep, StepTime


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

    The result is a pure function of the requests, the policy and the step times. Example, with any function of a
    step's work to its nanoseconds::

        trace = Trace.of_rows([(0, 512, 128), (10**9, 2048, 64)], max_new_tokens=1000)
        run = simulate(trace, "skyline", limits=Limits(kv_blocks=400), step_time=lambda work: 10_000_000)
        run.info.summary["e2e_s"]["p99"]

    Args:
        requests: an experiment, or a trace, which then runs on `model`, `device` and `limits`.
        policy: as `parse_policy` reads it.
        step_time: a model with `cumulative_fs`, or a function; default: the profile that ships for the model on that
            device, else the device's roofline.
        pressure: (time in ns, bytes): from then on the device has that budget, since somebody else takes or returns
            memory. The scheduler learns of it at once if `pressure_announced`, else by running out of memory.
        macro_steps: takes steps that are alike as one; changes the time this takes and nothing else.
        stop_on_oom: ends the run at the first out-of-memory step. So does Ctrl-C where it is: what has not ended by
            then is `aborted`, and the run is marked incomplete.
        plan_ahead: each step is planned when the one before it begins, as replays do: requests that come meanwhile are
            seen one step later.
        on_progress: called with the number of requests that have ended, now and then.
        note: goes into the record as it is; so does `command`.

    Raises:
        WarpGroupError: an unknown policy, model or device, or limits that leave no room.
    """
    if isinstance(requests, Trace):
        requests = build_experiment(requests, load_model(model), load_device(device), limits=limits)
    return _simulate(
        requests,
        parse_policy(policy) if isinstance(policy, str) else policy,
        as_step_time(step_time, requests),
        list(pressure),
        pressure_announced=pressure_announced,
        engine_options={
            "macro_steps": macro_steps,
            "stop_on_oom": stop_on_oom,
            "plan_ahead": plan_ahead,
            "on_progress": on_progress,
        },
        note=note,
        command=command,
    )


def as_step_time(given: StepTime | Callable[[StepWork], int] | None, experiment: Experiment) -> StepTime:
    """The step-time model that was asked for; by default the profile that ships for this model and device, if one does,
    else the analytic one.
    """
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
    engine_options: dict[str, Any],
    note: str,
    command: str,
) -> Run:
    scheduler = experiment.scheduler(policy)
    recorder = Recorder(len(experiment.trace), experiment.memory.budget_bytes)
    env = simpy.Environment()
    engine = SimulatedExecutor(env, experiment.trace, scheduler, step_time, recorder, **engine_options)
    env.process(engine.process())
    if pressure:
        env.process(engine.pressure(pressure, announced=pressure_announced))
    interrupted = False
    try:
        env.run()
    except KeyboardInterrupt:
        interrupted = True
    whole = not interrupted and not (engine_options["stop_on_oom"] and recorder.ooms)
    return conclude(
        experiment,
        policy,
        scheduler,
        recorder,
        kind="simulated",
        step_time=step_time.description,
        complete=whole,
        note=note,
        command=command,
    )
