"""What is run: a trace on a model and a device, under engine limits. Both executors start from here."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from .csrc import ArrivalQueue, MemoryModel, ModelGeometry, PolicySpec, Scheduler
from .errors import InvalidScenario, OverBudget
from .workloads import DeviceSpec, ModelSpec, Trace

USABLE_SHARE = 0.92
"""Share of a card's memory that a process may use unless `--vram` says otherwise: vLLM's default."""

PREFILL_SHARE = 0.5
"""Share of a card's FLOP/s that a long prefill reaches: 0.49 on an H200 (38,409 tokens/s of a 7B model). It only
decides between swapping and computing again, which are far apart."""

GIB = 1 << 30


class Slo(msgspec.Struct, frozen=True):
    """What a request must keep to count as good; both limits in seconds."""

    ttft_s: float = 10.0
    tpot_s: float = 0.1

    def __str__(self) -> str:
        return f"TTFT <= {self.ttft_s:g} s, TPOT <= {self.tpot_s * 1000:g} ms"


class Limits(msgspec.Struct, frozen=True):
    """Engine limits; 0 means: taken from the device.

    `vram_bytes` caps the process. `kv_blocks`, or else `kv_budget_tokens`, fixes the KV pool instead, and the
    VRAM budget becomes what that pool needs beside weights, context and activations. A request that would wait for
    more than `max_wait_s` is rejected at once; 0: everybody may wait for ever. `graph_pool_bytes` is what the engine's
    captured CUDA graphs hold, and `slack_bytes` what the allocator may take beyond the tensors of a step without one.
    """

    vram_bytes: int = 0
    kv_budget_tokens: int = 0
    kv_blocks: int = 0
    block_tokens: int = 16
    max_seqs: int = 0
    step_tokens: int = 0
    max_wait_s: float = 0
    graph_pool_bytes: int = 0
    slack_bytes: int = 0


class Inputs(msgspec.Struct, frozen=True):
    """What an experiment is made of beside its requests, as a record keeps it: enough to make it again."""

    model: ModelSpec
    device: DeviceSpec
    limits: Limits


@dataclass(frozen=True, slots=True)
class Experiment:
    """One trace on one model and one device. Every policy that is compared gets the same one."""

    name: str
    trace: Trace
    model: ModelSpec
    device: DeviceSpec
    memory: MemoryModel
    max_seqs: int
    step_tokens: int
    limits: Limits
    slo: Slo
    seed: int
    arrivals: str
    rate_scale: float

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its ingredients: the memory model is a C++ object and is made again from them."""
        options: dict[str, Any] = {
            "limits": self.limits,
            "slo": self.slo,
            "seed": self.seed,
            "name": self.name,
            "arrivals": self.arrivals,
            "rate_scale": self.rate_scale,
        }
        return partial(build_experiment, **options), (self.trace, self.model, self.device)

    def scheduler(self, policy: PolicySpec) -> Scheduler:
        """A fresh scheduler. Raises InvalidScenario if the policy and the limits contradict each other."""
        geometry = self.memory.geometry
        try:
            return Scheduler(
                policy.build(),
                self.memory,
                max_seqs=self.max_seqs,
                step_tokens=self.step_tokens,
                max_model_tokens=_longest_sequence(self.trace, self.model),
                max_wait_ns=round(self.limits.max_wait_s * 1e9),
                swap_bytes_s=self.device.host_link_bytes_s,
                prefill_tokens_s=round(self.device.bf16_flops * PREFILL_SHARE / (2 * geometry.matmul_parameters)),
            )
        except ValueError as error:
            raise InvalidScenario(f"policy '{policy}': {error}") from None


def arrival_queue(trace: Trace) -> ArrivalQueue:
    """The requests of a trace as they come; both executors submit from one."""
    if trace.turns is None:
        return ArrivalQueue(arrival_ns=trace.arrival_ns)
    return ArrivalQueue(arrival_ns=trace.arrival_ns, after=trace.turns.after_id, think_ns=trace.turns.think_ns)


def geometry_of(model: ModelSpec) -> ModelGeometry:
    """The core's view of a model."""
    return ModelGeometry(
        layers=model.layers,
        hidden=model.hidden,
        query_heads=model.query_heads,
        kv_heads=model.kv_heads,
        head_dim=model.head_dim,
        intermediate=model.intermediate,
        vocab=model.vocab,
        tied_embeddings=model.tied_embeddings,
        qkv_bias=model.qkv_bias,
        qk_norm=model.qk_norm,
        dtype_bytes=model.dtype_bytes,
    )


def build_experiment(
    trace: Trace,
    model: ModelSpec,
    device: DeviceSpec,
    *,
    limits: Limits | None = None,
    slo: Slo | None = None,
    seed: int = 0,
    name: str = "",
    arrivals: str = "trace",
    rate_scale: float = 1.0,
) -> Experiment:
    """Divide the device's memory and fix the engine's limits.

    Raises:
        OverBudget: the model leaves no room for one KV block.
        InvalidScenario: limits that contradict each other.
    """
    limits = limits or Limits()
    max_seqs = limits.max_seqs or device.max_seqs
    step_tokens = limits.step_tokens or device.step_tokens
    if step_tokens < max_seqs:
        if limits.max_seqs and limits.step_tokens:
            raise InvalidScenario(
                f"--step-tokens {step_tokens} is below --max-seqs {max_seqs}: a step computes at least one "
                "token for every running request"
            )
        if limits.step_tokens:
            max_seqs = step_tokens
        else:
            step_tokens = max_seqs
    memory = _divide_memory(trace, model, device, limits, max_seqs, step_tokens)
    return Experiment(
        name=name or trace.name,
        trace=trace,
        model=model,
        device=device,
        memory=memory,
        max_seqs=max_seqs,
        step_tokens=step_tokens,
        limits=limits,
        slo=slo or Slo(),
        seed=seed,
        arrivals=arrivals,
        rate_scale=rate_scale,
    )


def _longest_sequence(trace: Trace, model: ModelSpec) -> int:
    """What an operator who knows the traffic would set as the longest sequence; outputs are not looked at."""
    return min(int(trace.prompt_tokens.max()) + trace.max_new_tokens, model.context_tokens)


def _divide_memory(
    trace: Trace, model: ModelSpec, device: DeviceSpec, limits: Limits, max_seqs: int, step_tokens: int
) -> MemoryModel:
    geometry = geometry_of(model)
    blocks = limits.kv_blocks or limits.kv_budget_tokens // limits.block_tokens
    if limits.kv_budget_tokens and not blocks:
        raise InvalidScenario(
            f"a KV budget of {limits.kv_budget_tokens} tokens is less than one block of {limits.block_tokens}"
        )
    plan: dict[str, int] = {
        "context_bytes": device.context_bytes,
        "graph_pool_bytes": limits.graph_pool_bytes,
        "slack_bytes": limits.slack_bytes,
        "block_tokens": limits.block_tokens,
        "step_tokens": step_tokens,
        "max_seqs": max_seqs,
        "multiprocessors": device.multiprocessors,
        "max_context": _longest_sequence(trace, model),
    }
    try:
        if blocks:
            return MemoryModel.for_blocks(geometry, blocks=blocks, **plan)
        budget_bytes = limits.vram_bytes or int(device.memory_bytes * USABLE_SHARE)
        return MemoryModel(geometry, budget_bytes=budget_bytes, **plan)
    except ValueError as error:
        raise _explained(error, model, device, geometry, limits) from None


def _explained(
    error: ValueError, model: ModelSpec, device: DeviceSpec, geometry: ModelGeometry, limits: Limits
) -> OverBudget | InvalidScenario:
    if "leaves no room" not in str(error):
        return InvalidScenario(str(error))
    budget = limits.vram_bytes or int(device.memory_bytes * USABLE_SHARE)
    return OverBudget(
        f"{model.name} does not fit on {device.name}: its weights take {geometry.weight_bytes / GIB:.1f} GiB of "
        f"a budget of {budget / GIB:.1f} GiB, and no KV block fits beside them; choose a smaller model, a larger "
        "device or --vram"
    )
