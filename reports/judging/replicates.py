"""Which runs are replicates of each other: equal in everything except the seed and what a seed draws."""

from dataclasses import dataclass

import msgspec

from ...experiment import Inputs
from ...records import MemoryInfo, RunInfo, TraceInfo
from ...records.run import Kind, reshuffles


@dataclass(frozen=True, slots=True)
class ReplicateKey:
    """What replicates have in common.

    Attributes:
        trace: without what a seed draws.
        inputs: without what an engine measures when it starts.
        memory: only for old records without inputs. It follows from the inputs, and in part from the requests.
    """

    policy: str
    kind: Kind
    scenario: str
    trace: TraceInfo
    model: str
    device: str
    max_seqs: int
    step_tokens: int
    slo_s: tuple[float, float]
    step_time: str
    recorded_times: bool
    inputs: Inputs | None
    memory: MemoryInfo | None


def replicate_key(info: RunInfo) -> ReplicateKey:
    """The key by which runs are grouped into replicates."""
    scenario = info.scenario
    inputs = scenario.inputs
    if inputs is not None and info.machine is not None:
        inputs = _without_measured(inputs)
    return ReplicateKey(
        policy=info.policy,
        kind=info.kind,
        scenario=scenario.name,
        trace=_without_drawn(scenario.trace),
        model=scenario.model,
        device=scenario.device,
        max_seqs=scenario.max_seqs,
        step_tokens=scenario.step_tokens,
        slo_s=(scenario.slo_ttft_s, scenario.slo_tpot_s),
        step_time=scenario.step_time,
        recorded_times=scenario.recorded_times,
        inputs=inputs,
        memory=scenario.memory if inputs is None else None,
    )


def _without_measured(inputs: Inputs) -> Inputs:
    device = msgspec.structs.replace(inputs.device, context_bytes=0)
    limits = msgspec.structs.replace(inputs.limits, graph_pool_bytes=0)
    return msgspec.structs.replace(inputs, device=device, limits=limits)


def _without_drawn(trace: TraceInfo) -> TraceInfo:
    transforms = tuple(each for each in trace.transforms if not reshuffles(each))
    trace = msgspec.structs.replace(trace, content_hash="", over_context=0, transforms=transforms)
    if trace.format == "generated":
        return msgspec.structs.replace(trace, file_sha256="", repaired={}, waiting=0)
    if trace.format == "servegen":
        # A transform of this format ends with its seed: "drawn from 2 clients, seed 1".
        transforms = tuple(each.partition(", seed ")[0] for each in transforms)
        return msgspec.structs.replace(trace, requests=0, rows_read=0, dropped={}, repaired={}, transforms=transforms)
    return trace
