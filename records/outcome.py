"""From the end of a run to its record, for simulated and real runs alike; and from a record back to its experiment."""

import msgspec
import numpy as np

from ..csrc import Activation, PolicySpec, Recorder, Scheduler, parse_policy
from ..errors import InvalidRun
from ..experiment import Experiment, Inputs, Slo, build_experiment
from ..workloads import TURN_COLUMNS
from .metrics import Summary, summarize
from .requests import requests_of
from .run import Columns, Kind, MachineInfo, MemoryInfo, Run, RunInfo, ScenarioInfo, TraceInfo, versions


def conclude(
    experiment: Experiment,
    policy: PolicySpec,
    scheduler: Scheduler,
    recorder: Recorder,
    *,
    kind: Kind,
    step_time: str,
    complete: bool,
    recorded_times: bool = False,
    note: str = "",
    command: str = "",
    machine: MachineInfo | None = None,
) -> Run:
    """The run with its summary. A complete run is checked: nothing is lost, nothing is counted twice.

    Args:
        step_time: the step-time model, or the machine that was measured.
        complete: whether the run came to its end.
        recorded_times: the step durations are those that `step_time` measured, not a model's.
    """
    info = RunInfo(
        kind=kind,
        policy=str(policy),
        scenario=scenario_info(experiment, step_time, recorded_times=recorded_times),
        seed=experiment.seed,
        plan_hash=f"{scheduler.plan_hash:016x}",
        complete=complete,
        versions=versions(*(("torch", "triton", "flash-attn") if machine else ())),
        command=command,
        note=note,
        upper_bound=scheduler.policy.sees_lengths,
        machine=machine,
    )
    run = Run(info, _requests(experiment, recorder), recorder.steps(), recorder.events())
    summary = summarize(run)
    if complete:
        _check_conservation(run, summary, scheduler)
    info.summary = msgspec.to_builtins(summary)
    return run


def _requests(experiment: Experiment, recorder: Recorder) -> Columns:
    trace, turns = experiment.trace, experiment.trace.turns
    count = len(trace)
    reasons, outcomes = recorder.reasons, recorder.requests()
    ticket, arrival_ns = outcomes.pop("ticket"), outcomes.pop("arrival_ns")
    return {
        "id": np.arange(count, dtype=np.int64),
        # A request that never arrived keeps the earliest time at which it could have arrived.
        "arrival_ns": np.where(ticket >= 0, arrival_ns, trace.arrival_ns),
        "prompt_tokens": trace.prompt_tokens,
        "output_tokens": trace.output_tokens,
        "max_new_tokens": np.full(count, trace.max_new_tokens, dtype=np.int64),
        **outcomes,
        **({"ticket": ticket, **{name: getattr(turns, name) for name in TURN_COLUMNS}} if turns else {}),
        "reason": np.array([reasons.get(i, "") for i in range(count)], dtype=object),
    }


def _check_conservation(run: Run, summary: Summary, scheduler: Scheduler) -> None:
    """Assert that no request, token or block is lost or counted twice."""
    ended = summary.finished + summary.rejected + summary.failed
    assert ended == summary.requests, f"{summary.requests - ended} requests neither finished nor were turned away"
    assert scheduler.used_blocks == 0, f"{scheduler.used_blocks} KV blocks are held, but no request runs"
    if summary.failed:
        return  # the steps hold what a failed request computed, but no request needed it
    r, steps = run.requests, run.steps
    done = r["finish_ns"] >= 0
    needed = int((r["prompt_tokens"] + r["output_tokens"] - 1)[done].sum()) + int(r["recomputed_tokens"].sum())
    positions = int((steps["prefill_tokens"] + steps["decode_rows"] * steps["steps"]).sum())
    computed = positions - int(steps["padding_tokens"].sum())
    assert computed == needed, f"{computed} tokens were computed for {needed} needed"


def _named(activation: Activation) -> dict[str, int]:
    """The bytes of each tensor, by name."""
    names = (
        *("residual", "projections", "attention_output", "log_sum_exp", "split_accumulators"),
        *("mlp", "logits", "rounding"),
    )
    return {name: size for name in names if (size := getattr(activation, name))}


def scenario_info(experiment: Experiment, step_time: str, *, recorded_times: bool = False) -> ScenarioInfo:
    """The experiment as the record keeps it. For `recorded_times` see `conclude`."""
    return ScenarioInfo(
        name=experiment.name,
        trace=_trace_info(experiment),
        model=experiment.model.name,
        device=experiment.device.name,
        memory=_memory_info(experiment),
        max_seqs=experiment.max_seqs,
        step_tokens=experiment.step_tokens,
        slo_ttft_s=experiment.slo.ttft_s,
        slo_tpot_s=experiment.slo.tpot_s,
        step_time=step_time,
        recorded_times=recorded_times,
        inputs=Inputs(experiment.model, experiment.device, experiment.limits),
    )


def _trace_info(experiment: Experiment) -> TraceInfo:
    trace, source = experiment.trace, experiment.trace.source
    lengths = trace.prompt_tokens + trace.output_tokens
    return TraceInfo(
        name=trace.name,
        content_hash=trace.content_hash,
        format=source.format,
        file=source.path,
        file_sha256=source.sha256,
        requests=len(trace),
        rows_read=source.rows_read,
        dropped=source.dropped,
        repaired=source.repaired,
        max_new_tokens=trace.max_new_tokens,
        arrivals=experiment.arrivals,
        rate_scale=experiment.rate_scale,
        over_context=int((lengths > experiment.model.context_tokens).sum()),
        waiting=int(trace.turns.waits.sum()) if trace.turns else 0,
        transforms=source.transforms,
    )


def _memory_info(experiment: Experiment) -> MemoryInfo:
    memory = experiment.memory
    return MemoryInfo(
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
    )


def restore(run: Run) -> tuple[Experiment, PolicySpec]:
    """The experiment and policy of a run: the inverse of `scenario_info`.

    Raises InvalidRun: the record is too old to have them, or its requests are not those of the run.
    """
    scenario, told = run.info.scenario, run.info.scenario.trace
    inputs = scenario.inputs
    if inputs is None:
        raise InvalidRun("the record lacks the model, device and limits of the run: run it again with this version")
    trace = requests_of(run)
    if trace.content_hash != told.content_hash:
        raise InvalidRun("requests.parquet and run.json are not of one run: their requests differ; run it again")
    experiment = build_experiment(
        trace,
        inputs.model,
        inputs.device,
        limits=inputs.limits,
        slo=Slo(scenario.slo_ttft_s, scenario.slo_tpot_s),
        seed=run.info.seed,
        name=scenario.name,
        arrivals=told.arrivals,
        rate_scale=told.rate_scale,
    )
    return experiment, parse_policy(run.info.policy)
