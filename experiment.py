"""What is run: a trace on a model and a device, under engine limits. The simulator and the runtime both start here."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import force_setattr

from .csrc import ArrivalQueue, MemoryModel, ModelGeometry, NoSpaceForKv, PolicySpec, Scheduler
from .errors import InvalidScenario, OverBudget
from .workloads import LONGEST_SPAN_S, DeviceSpec, ModelSpec, Trace, number_within, parse_bytes, whole_within

USABLE_SHARE = 0.92
"""The share of a card's memory that a process may use if `--vram` is not given: vLLM's default."""

PREFILL_SHARE = 0.5
"""The share of a card's FLOP/s that a long prefill reaches: 0.49 on an H200 (38,409 tokens/s of a 7B model). It is used
only to choose between swapping and recomputing, whose costs are far apart."""

GIB = 1 << 30

_MOST_BYTES = 2**62


class Slo(msgspec.Struct, frozen=True):
    """The service-level objective: the limits, in seconds, that a good request keeps.

    Raises InvalidScenario: a limit is not a positive number.
    """

    ttft_s: float = 10.0
    tpot_s: float = 0.1

    def __post_init__(self) -> None:
        for name in ("ttft_s", "tpot_s"):
            _set_number(self, name, number_within(name, getattr(self, name), None, LONGEST_SPAN_S))

    def __str__(self) -> str:
        return f"TTFT <= {self.ttft_s:g} s, TPOT <= {self.tpot_s * 1000:g} ms"


class Limits(msgspec.Struct, frozen=True):
    """Engine limits; 0 means the device's value.

    Attributes:
        vram_bytes: cap on the memory of the process.
        kv_blocks: size of the KV pool. If given, the VRAM budget is what this pool, weights, context and activations
            need together.
        kv_budget_tokens: size of the KV pool in tokens, used if `kv_blocks` is 0.
        block_tokens: tokens of a KV block.
        max_seqs: cap on running requests.
        step_tokens: cap on the tokens of a step.
        max_wait_s: a request whose expected wait is longer is rejected at once; 0: requests may wait without limit.
        graph_pool_bytes: memory of the captured CUDA graphs.
        slack_bytes: memory that the allocator may take beyond the tensors of a step without a CUDA graph.

    A size may also be text, such as "20GiB".

    Raises InvalidScenario: a value is of the wrong type or out of range.
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

    def __post_init__(self) -> None:
        for name in ("vram_bytes", "graph_pool_bytes", "slack_bytes"):
            size: object = getattr(self, name)
            if isinstance(size, str):
                size = parse_bytes(size)
            force_setattr(self, name, whole_within(name, size, 0, _MOST_BYTES))
        for name in ("kv_budget_tokens", "kv_blocks", "block_tokens", "max_seqs", "step_tokens"):
            force_setattr(self, name, whole_within(name, getattr(self, name), 0))
        check_block_tokens("block_tokens", self.block_tokens)
        _set_number(self, "max_wait_s", number_within("max_wait_s", self.max_wait_s, 0, LONGEST_SPAN_S))


def check_block_tokens(name: str, block_tokens: int) -> None:
    """Raises InvalidScenario: the number is not a positive multiple of 16."""
    if block_tokens < 1 or block_tokens % 16:
        raise InvalidScenario(f"{name} is {block_tokens}, expected a multiple of 16")


def _set_number(owner: msgspec.Struct, name: str, number: float) -> None:
    """Replace a number of NumPy. Others stay as they are: a record tells 1 from 1.0."""
    if type(getattr(owner, name)) not in (int, float):
        force_setattr(owner, name, number)


class Inputs(msgspec.Struct, frozen=True):
    """The ingredients of an experiment except its requests, as a record keeps them to make the experiment again."""

    model: ModelSpec
    device: DeviceSpec
    limits: Limits


@dataclass(frozen=True, slots=True)
class Experiment:
    """One trace on one model and one device. All compared policies get the same experiment."""

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
        """Pickle the ingredients, since the memory model is a C++ object that cannot be pickled."""
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
        """A new scheduler.

        Raises:
            InvalidScenario: the policy and the limits contradict each other.
        """
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
    """The arrivals of a trace. The simulator and the runtime submit requests from such a queue."""
    if trace.turns is None:
        return ArrivalQueue(arrival_ns=trace.arrival_ns)
    return ArrivalQueue(arrival_ns=trace.arrival_ns, after=trace.turns.after_id, think_ns=trace.turns.think_ns)


def geometry_of(model: ModelSpec) -> ModelGeometry:
    """The shape of a model, as the core needs it."""
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
        OverBudget: no KV block fits beside the model.
        InvalidScenario: limits that contradict each other.
    """
    limits = limits or Limits()
    max_seqs = limits.max_seqs or device.max_seqs
    step_tokens = limits.step_tokens or device.step_tokens
    if step_tokens < max_seqs:
        if limits.max_seqs and limits.step_tokens:
            raise InvalidScenario(
                f"{step_tokens} tokens in a step are fewer than {max_seqs} running requests: a step computes at least "
                "one token for each of them; raise the limit of tokens, or lower that of requests"
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
    """The longest sequence that an operator who knows the prompts would allow. It does not depend on the outputs."""
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
    budget_bytes = limits.vram_bytes or int(device.memory_bytes * USABLE_SHARE)
    try:
        if blocks:
            return MemoryModel.for_blocks(geometry, blocks=blocks, **plan)
        return MemoryModel(geometry, budget_bytes=budget_bytes, **plan)
    except NoSpaceForKv:
        taken = _largest_parts(geometry, plan)
        raise OverBudget(
            f"{model.name} does not fit on {device.name}: of a budget of {budget_bytes / GIB:.1f} GiB, {taken}, and no "
            "KV block fits beside them; choose a smaller model, a larger device, fewer tokens in a step, or more VRAM"
        ) from None
    except ValueError as error:
        raise InvalidScenario(str(error)) from None


def _largest_parts(geometry: ModelGeometry, plan: dict[str, int]) -> str:
    """What takes most of the memory beside the KV cache, in words: the three largest parts."""
    ample = MemoryModel(geometry, budget_bytes=_MOST_BYTES, **plan)
    parts = {
        "weights": geometry.weight_bytes,
        "activations of the largest step": ample.activation_reserve_bytes,
        "CUDA libraries": plan["context_bytes"],
        "CUDA graphs": plan["graph_pool_bytes"],
        "reserves of the allocator": plan["slack_bytes"],
    }
    largest = sorted((item for item in parts.items() if item[1]), key=lambda item: -item[1])[:3]
    return ", ".join(f"{name} take {size / GIB:.1f} GiB" for name, size in largest)
