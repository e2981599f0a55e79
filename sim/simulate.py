"""One simulated run: a policy over an experiment."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import simpy

from ..csrc import Activation, PolicySpec, Recorder, Scheduler, StepWork, parse_policy
from ..experiment import Experiment, Limits, build_experiment
from ..metrics import Summary, summarize
from ..records import Columns, MemoryInfo, Run, RunInfo, ScenarioInfo, TraceInfo, versions
from ..workloads import DEFAULT_DEVICE, DEFAULT_MODEL, Trace, load_device, load_model
from .engine import Engine
from .step_time import AnalyticStepTime, PerStep, StepTime


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
        step_time: a model with `cumulative_fs`, or a function; default: the analytic one of the device.
        pressure: (time in ns, bytes): from then on the device has that budget, since somebody else takes or returns
            memory. The scheduler learns of it at once if `pressure_announced`, else by running out of memory.
        macro_steps: takes steps that are alike as one; changes the time this takes and nothing else.
        stop_on_oom: ends the run at the first out-of-memory step. So does Ctrl-C where it is: what has not ended by
            then is `aborted`, and the run is marked incomplete.
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
        engine_options={"macro_steps": macro_steps, "stop_on_oom": stop_on_oom, "on_progress": on_progress},
        note=note,
        command=command,
    )


def as_step_time(given: StepTime | Callable[[StepWork], int] | None, experiment: Experiment) -> StepTime:
    """The step-time model that was asked for."""
    if given is None:
        return AnalyticStepTime(experiment.memory.geometry, experiment.device)
    return given if isinstance(given, StepTime) else PerStep(given)


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
    engine = Engine(env, experiment.trace, scheduler, step_time, recorder, **engine_options)
    env.process(engine.process())
    if pressure:
        env.process(engine.pressure(pressure, announced=pressure_announced))
    interrupted = False
    try:
        env.run()
    except KeyboardInterrupt:
        interrupted = True
    whole = not interrupted and not (engine_options["stop_on_oom"] and recorder.ooms)
    info = RunInfo(
        kind="simulated",
        policy=str(policy),
        scenario=describe(experiment, step_time),
        seed=experiment.seed,
        plan_hash=f"{scheduler.plan_hash:016x}",
        complete=whole,
        versions=versions(),
        command=command,
        note=note,
        upper_bound=scheduler.policy.sees_lengths,
    )
    run = Run(info, _requests(experiment, recorder), recorder.steps(), recorder.events())
    summary = summarize(run)
    if whole:
        _check_conservation(run, summary, scheduler)
    info.summary = msgspec.to_builtins(summary)
    return run


def _requests(experiment: Experiment, recorder: Recorder) -> Columns:
    trace = experiment.trace
    count = len(trace)
    reasons = recorder.reasons
    return {
        "id": np.arange(count, dtype=np.int64),
        "arrival_ns": trace.arrival_ns,
        "prompt_tokens": trace.prompt_tokens,
        "output_tokens": trace.output_tokens,
        "max_new_tokens": np.full(count, trace.max_new_tokens, dtype=np.int64),
        **recorder.requests(),
        "reason": np.array([reasons.get(i, "") for i in range(count)], dtype=object),
    }


def _check_conservation(run: Run, summary: Summary, scheduler: Scheduler) -> None:
    """Nothing is lost and nothing is counted twice: requests, tokens and blocks."""
    ended = summary.finished + summary.rejected + summary.failed
    assert ended == summary.requests, f"{summary.requests - ended} requests neither finished nor were turned away"
    assert scheduler.used_blocks == 0, f"{scheduler.used_blocks} KV blocks are held by nobody"
    if summary.failed:
        return  # what a failed request had computed is in the steps, but in no request's needs
    r, steps = run.requests, run.steps
    done = r["finish_ns"] >= 0
    needed = int((r["prompt_tokens"] + r["output_tokens"] - 1)[done].sum()) + int(r["recomputed_tokens"].sum())
    positions = int((steps["prefill_tokens"] + steps["decode_rows"] * steps["steps"]).sum())
    computed = positions - int(steps["padding_tokens"].sum())
    assert computed == needed, f"{computed} tokens were computed for {needed} needed"


def _named(activation: Activation) -> dict[str, int]:
    """Its tensors by name, in bytes."""
    names = (
        *("residual", "projections", "attention_output", "log_sum_exp", "split_accumulators"),
        *("mlp", "logits", "rounding"),
    )
    return {name: size for name in names if (size := getattr(activation, name))}


def describe(experiment: Experiment, step_time: StepTime) -> ScenarioInfo:
    """The experiment as the record keeps it."""
    trace, memory = experiment.trace, experiment.memory
    longest = trace.prompt_tokens + trace.output_tokens
    return ScenarioInfo(
        name=experiment.name,
        trace=TraceInfo(
            name=trace.name,
            content_hash=trace.content_hash,
            format=trace.source.format,
            file=trace.source.path,
            file_sha256=trace.source.sha256,
            requests=len(trace),
            rows_read=trace.source.rows_read,
            dropped=trace.source.dropped,
            repaired=trace.source.repaired,
            max_new_tokens=trace.max_new_tokens,
            arrivals=experiment.arrivals,
            rate_scale=experiment.rate_scale,
            over_context=int((longest > experiment.model.context_tokens).sum()),
        ),
        model=experiment.model.name,
        device=experiment.device.name,
        memory=MemoryInfo(
            budget_bytes=memory.budget_bytes,
            weight_bytes=memory.geometry.weight_bytes,
            context_bytes=memory.context_bytes,
            graph_pool_bytes=memory.graph_pool_bytes,
            largest_prefill=_named(memory.activation(prefill_tokens=experiment.step_tokens, sampled_rows=1)),
            largest_decode=_named(memory.activation(decode_rows=experiment.max_seqs, sampled_rows=experiment.max_seqs)),
            activation_reserve_bytes=memory.activation_reserve_bytes,
            kv_pool_bytes=memory.pool_blocks * memory.block_bytes,
            kv_bytes_per_token=memory.geometry.kv_bytes_per_token,
            block_tokens=memory.block_tokens,
            pool_blocks=memory.pool_blocks,
        ),
        max_seqs=experiment.max_seqs,
        step_tokens=experiment.step_tokens,
        slo_ttft_s=experiment.slo.ttft_s,
        slo_tpot_s=experiment.slo.tpot_s,
        step_time=step_time.description,
    )
