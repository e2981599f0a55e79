"""The record of a run from what its executor has in the end, the same for simulated and real runs; and back."""

import msgspec
import numpy as np

from ..csrc import Activation, PolicySpec, Recorder, Scheduler, parse_policy
from ..errors import InvalidRun
from ..experiment import Experiment, Inputs, Slo, build_experiment
from ..workloads import TURN_COLUMNS
from .metrics import Summary, summarize
from .requests import requests_of
from .run import Columns, MachineInfo, MemoryInfo, Run, RunInfo, ScenarioInfo, TraceInfo, versions


def conclude(
    experiment: Experiment,
    policy: PolicySpec,
    scheduler: Scheduler,
    recorder: Recorder,
    *,
    kind: str,
    step_time: str,
    complete: bool,
    note: str = "",
    command: str = "",
    machine: MachineInfo | None = None,
) -> Run:
    """The run, with its summary; of a complete one it is checked that nothing was lost or counted twice.

    Args:
        kind: simulated | real.
        step_time: the step-time model, or the machine that was measured.
        complete: whether it came to its end.
    """
    info = RunInfo(
        kind=kind,
        policy=str(policy),
        scenario=scenario_info(experiment, step_time),
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
        # Those that never came would not have come before.
        "arrival_ns": np.where(ticket >= 0, arrival_ns, trace.arrival_ns),
        "prompt_tokens": trace.prompt_tokens,
        "output_tokens": trace.output_tokens,
        "max_new_tokens": np.full(count, trace.max_new_tokens, dtype=np.int64),
        **outcomes,
        **({"ticket": ticket, **{name: getattr(turns, name) for name in TURN_COLUMNS}} if turns else {}),
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


def scenario_info(experiment: Experiment, step_time: str) -> ScenarioInfo:
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
            waiting=int(trace.turns.waits.sum()) if trace.turns else 0,
            transforms=trace.source.transforms,
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
        step_time=step_time,
        inputs=Inputs(experiment.model, experiment.device, experiment.limits),
    )


def restore(run: Run) -> tuple[Experiment, PolicySpec]:
    """What a run was made of: the inverse of `scenario_info`.

    Raises InvalidRun: the record is of a version that did not keep it, or does not fit together.
    """
    scenario, told = run.info.scenario, run.info.scenario.trace
    inputs = scenario.inputs
    if inputs is None:
        raise InvalidRun("the record does not say what the run was made of: make it again with this version")
    trace = requests_of(run)
    if trace.content_hash != told.content_hash:
        raise InvalidRun("requests.parquet and run.json are not of one run: their requests differ")
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
