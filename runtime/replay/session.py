"""Opens what a replay needs. Each depends on the one before it:

device -> attention -> predicted memory -> weights -> engine -> graphs -> measured fixed memory -> experiment
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch

from ...csrc import PolicySpec
from ...errors import DeviceUnavailable, OverBudget
from ...experiment import GIB, Experiment, build_experiment
from ...workloads import ModelSpec
from ..attention.choice import choose_attention
from ..attention.interface import Attention
from ..engine.engine import Engine
from ..machine import Machine
from ..memory.kv_pool import OutOfVram
from ..memory.vram import Monitor, device_used
from ..model.weights import Weights, load_weights, random_weights, tensors_of
from ..step.inputs import Extent
from .arrivals import intake_tokens

LARGEST_GRAPH_CHUNK = 512
"""Steps that prefill more tokens take so long that a graph gains nothing: the host launches the next one meanwhile."""

_MIXED = ((1, 64), (64, 1040))
"""Decoding rows and chunk tokens of the steps that warm up: few and many launch different kernels."""

ALLOCATOR_SLACK_BYTES = 32 << 20
"""Torch takes memory in segments of 2 and 20 MiB, so it reserves about so much more than it allocates."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Session:
    """An engine that is ready, and the experiment with the memory that was measured on this machine.

    Attributes:
        fixed_bytes: what the process holds before the first step, without the KV pool.
        rest_bytes: what was in use on the device when this was opened, without what the engine takes and gives back.
    """

    experiment: Experiment
    engine: Engine
    fixed_bytes: int
    rest_bytes: int

    def monitor(self) -> Monitor:
        """A monitor of what other processes take of the device beyond what they held when this was opened."""
        machine, engine = self.engine.machine, self.engine
        return Monitor(
            machine.spec.memory_bytes,
            device_used(machine),
            lambda: _changing_bytes(engine),
            rest_bytes=self.rest_bytes,
            before_bytes=machine.used_before,
        )

    def close(self) -> None:
        """Free the engine's memory."""
        self.engine.close()


def open_session(
    experiment: Experiment,
    policies: list[PolicySpec],
    machine: Machine,
    *,
    attention: Attention | None = None,
    weights_folder: Path | None = None,
    temperature: float = 0.0,
    graphs: bool = True,
    say: Say = lambda text: None,
) -> Session:
    """Load the model and build an engine that can run each of the policies.

    Args:
        experiment: built for the machine's spec, with KV blocks that the attention backend can read.
        attention: default: the best backend that runs here.
        weights_folder: a Hugging Face folder; default: random weights, drawn with the seed of the experiment.
        graphs: capture CUDA graphs, if the backend can.
        say: called with a line of text before each part that takes long.

    Raises:
        OverBudget: the model does not fit under the cap.
        InvalidModel: the weights do not match the model.
        DeviceUnavailable: the kernels cannot run this model.
    """
    spec = experiment.model
    _check_heads(spec, machine)
    attention = attention or choose_attention("auto", machine, spec)
    extent = _extent(experiment, policies, machine)
    try:
        say(f"loading {spec.name} onto {machine.name}")
        if machine.is_cuda:
            _limit_torch(experiment, machine)
        weights = _weights(spec, machine, weights_folder, experiment.seed)
        engine = Engine(machine, spec, weights, attention, extent, temperature=temperature)
        engine.pool.resize(1)
        if machine.is_cuda:
            _warm_up(engine, experiment, graphs=graphs, say=say)
    except torch.OutOfMemoryError:
        raise OverBudget(
            f"{spec.name} does not fit under {experiment.memory.budget_bytes / GIB:.1f} GiB on {machine.name}: "
            "raise --vram, choose a smaller model, or stop other processes on the device"
        ) from None
    except OutOfVram:
        raise OverBudget(f"{machine.name} has no memory left for a KV pool: stop other processes on it") from None
    fixed = _fixed_bytes(engine)
    rest = device_used(machine)() - _changing_bytes(engine)
    return Session(_as_measured(experiment, engine, fixed), engine, fixed, rest)


def _check_heads(spec: ModelSpec, machine: Machine) -> None:
    if machine.is_cuda and spec.head_dim & (spec.head_dim - 1):
        raise DeviceUnavailable(
            f"{spec.name} has heads of {spec.head_dim} dimensions, but the kernels take only powers of two: choose "
            "another --model"
        )


def _limit_torch(experiment: Experiment, machine: Machine) -> None:
    share = min(experiment.memory.budget_bytes / machine.spec.memory_bytes, 1.0)
    torch.cuda.set_per_process_memory_fraction(share, machine.device)


def _weights(spec: ModelSpec, machine: Machine, folder: Path | None, seed: int) -> Weights:
    if folder is not None:
        return load_weights(folder, spec, machine.device)
    return random_weights(spec, machine.device, seed)


def _extent(experiment: Experiment, policies: list[PolicySpec], machine: Machine) -> Extent:
    """Large enough for the policy that runs the most requests at once, and for the longest request with its padding."""
    trace, memory = experiment.trace, experiment.memory
    built = [policy.build() for policy in policies]
    seats = min(max(policy.max_requests or experiment.max_seqs for policy in built), len(trace))
    if all(policy.sees_memory for policy in built):
        seats = min(seats, memory.pool_blocks)
    longest = int(trace.prompt_tokens.max() + trace.output_tokens.max())
    small = {policy.chunk_tokens or policy.step_tokens for policy in built}
    held = memory.budget_bytes - memory.geometry.weight_bytes
    return Extent(
        seats=seats,
        longest_tokens=longest,
        block_tokens=memory.block_tokens,
        limit_bytes=held if machine.is_cuda else memory.pool_blocks * memory.block_bytes + _cpu_slack(experiment),
        step_tokens=max(experiment.step_tokens, longest),
        intake_tokens=intake_tokens(trace),
        graph_chunks=tuple(sorted(size for size in small if 0 < size <= LARGEST_GRAPH_CHUNK)),
    )


def _cpu_slack(experiment: Experiment) -> int:
    """Policies that are blind to memory may also use what others reserve for activations."""
    return experiment.memory.activation_reserve_bytes


def _warm_up(engine: Engine, experiment: Experiment, *, graphs: bool, say: Say) -> None:
    engine.warm_up(min(experiment.step_tokens, 4096))
    for rows, chunk_tokens in _MIXED:
        engine.warm_up(1, rows=min(rows, engine.extent.seats), chunk_tokens=chunk_tokens)
    engine.prepare_prompts(min(experiment.step_tokens, engine.extent.longest_tokens))
    torch.cuda.synchronize(engine.machine.device)
    if graphs:
        total = len(engine.graphs.shapes())
        say(
            f"capturing {total} CUDA graphs"
            if total
            else f"no CUDA graphs: {engine.model.attention.name} cannot be captured"
        )
        engine.capture()


def _changing_bytes(engine: Engine) -> int:
    """The memory that this process takes and gives back during a run: that of torch and the pool."""
    machine = engine.machine
    return torch.cuda.memory_reserved(machine.device) + engine.pool.memory.bytes if machine.is_cuda else 0


def _fixed_bytes(engine: Engine) -> int:
    """What the process holds before the first step, without the pool."""
    machine = engine.machine
    if not machine.is_cuda:
        return sum(tensor.nbytes for tensor in _parameters(engine))
    torch.cuda.synchronize(machine.device)
    torch.cuda.empty_cache()
    used = device_used(machine)() - machine.used_before
    return used - engine.pool.memory.bytes


def _parameters(engine: Engine) -> list[torch.Tensor]:
    return [tensor for _, tensor in tensors_of(engine.model.weights)]


def _as_measured(experiment: Experiment, engine: Engine, fixed_bytes: int) -> Experiment:
    """The experiment with measured fixed memory (context, workspaces, graphs) in place of the assumed."""
    graphs, slack = engine.graphs.pool_bytes, ALLOCATOR_SLACK_BYTES if engine.machine.is_cuda else 0
    context = fixed_bytes - experiment.memory.geometry.weight_bytes - graphs
    options: dict[str, Any] = {
        "limits": msgspec.structs.replace(experiment.limits, graph_pool_bytes=graphs, slack_bytes=slack),
        "slo": experiment.slo,
        "seed": experiment.seed,
        "name": experiment.name,
        "arrivals": experiment.arrivals,
        "rate_scale": experiment.rate_scale,
    }
    device = msgspec.structs.replace(experiment.device, context_bytes=max(context, 0))
    return build_experiment(experiment.trace, experiment.model, device, **options)
