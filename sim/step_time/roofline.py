"""How long a step takes: the analytic roofline model, and an adapter for any function of one step.

    step = max(weights / bandwidth, FLOPs of the matrix products / compute rate)
         + KV bytes read / KV read rate
         + FLOPs of prefill attention / attention rate
         + bytes swapped / host link
         + overhead

The products of a step share one pass over the weights; attention reads each decoding request's own cache, and comes
on top. A datasheet's peaks are first reduced by what an H200 reached of its own (4.15 of 4.8 TB/s read, 786 of 989
TFLOP/s in a large bf16 product); measured devices carry what they reached. The model is analytic, not calibrated: it
has seen no run of the engine that it predicts.

Durations are femtoseconds in integers, and those of steps that are alike are one closed form: the sum of F(j+1) - F(j)
is F(k) to the last digit, so that macro-steps and single steps are the same run.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from ...csrc import ModelGeometry, RooflineStepTime, StepWork
from ...workloads import DeviceSpec

FS_PER_NS = 1_000_000
_FS_PER_S = 10**15

BANDWIDTH_REACHED = (415, 480)
FLOPS_REACHED = (786, 989)
MATMUL_SHARE = (69, 100)
"""Packed prefill of a 7B model as a whole, 38,409 tokens/s on an H200, against its 786 TFLOP/s."""
KV_READ_SHARE = (86, 100)
"""flash_attn_with_kvcache at 64 to 256 rows, 3.56 to 3.58 TB/s on an H200, against its 4.15 TB/s."""
ATTENTION_SHARE = (43, 100)
"""flash_attn_varlen_func at 8,192 tokens, 335 TFLOP/s on an H200, against its 786 TFLOP/s."""
OVERHEAD_FS = 1_500_000 * FS_PER_NS
"""Launches and host work that no kernel hides: vLLM's decode steps on an H200 took 1.6 ms beyond the terms above."""


@runtime_checkable
class StepTime(Protocol):
    """Predicts durations for the simulator."""

    @property
    def description(self) -> str:
        """What it is, and how far it may be trusted; shown wherever its results are."""
        ...

    def cumulative_fs(self, work: StepWork, steps: int) -> int:
        """Femtoseconds that `steps` steps take together, the first one doing `work` and each later one with one more
        token in every decoding request's cache.
        """
        ...


class AnalyticStepTime:
    """The roofline model of this module for one model on one device."""

    def __init__(self, geometry: ModelGeometry, device: DeviceSpec) -> None:
        self._given = analytic_rates(geometry, device)
        self.rates = RooflineStepTime(**self._given)
        self.description = f"analytic roofline for {device.name}, not calibrated"

    def __getstate__(self) -> tuple[dict[str, Any], str]:
        """Pickled as what the rates were made of: they are a C++ object."""
        return self._given, self.description

    def __setstate__(self, state: tuple[dict[str, Any], str]) -> None:
        self._given, self.description = state
        self.rates = RooflineStepTime(**self._given)

    def cumulative_fs(self, work: StepWork, steps: int) -> int:
        """See `StepTime`."""
        return self.rates.cumulative_fs(work, steps)


def analytic_rates(geometry: ModelGeometry, device: DeviceSpec) -> dict[str, Any]:
    """What each part of a step costs by the formula above, in femtoseconds; see `RooflineStepTime`."""
    reached = ((1, 1), (1, 1)) if device.measured else (BANDWIDTH_REACHED, FLOPS_REACHED)
    bandwidth = _scaled(device.bandwidth_bytes_s, reached[0])
    flops = _scaled(device.bf16_flops, reached[1])
    head = 2 * geometry.vocab * geometry.hidden
    body = 2 * geometry.matmul_parameters - head
    weights = geometry.matmul_parameters * geometry.dtype_bytes
    pair = 4 * geometry.query_heads * geometry.head_dim * geometry.layers
    matmul_rate = _scaled(flops, MATMUL_SHARE)
    pair_fs = pair * _FS_PER_S // _scaled(flops, ATTENTION_SHARE)
    context_fs = geometry.kv_bytes_per_token * _FS_PER_S // _scaled(bandwidth, KV_READ_SHARE)
    return {
        "weights_fs": weights * _FS_PER_S // bandwidth,
        "token_fs": body * _FS_PER_S // matmul_rate,
        "sample_fs": head * _FS_PER_S // matmul_rate,
        "fresh_pair_fs": pair_fs,
        "continued_pair_fs": pair_fs,
        "chunk_context_fs": context_fs,
        "context_fs": context_fs,
        "swap_fs": _FS_PER_S // device.host_link_bytes_s,
        "overhead_fs": OVERHEAD_FS,
    }


class PerStep:
    """Any function of one step's work to its nanoseconds, as a step-time model."""

    def __init__(self, duration_ns: Callable[[StepWork], int], description: str = "given function") -> None:
        self._duration_ns = duration_ns
        self.description = description

    def cumulative_fs(self, work: StepWork, steps: int) -> int:
        """See `StepTime`. The function is called once for each step."""
        total = self._duration_ns(work)
        for step in range(1, steps):
            total += self._duration_ns(_later(work, step))
        return total * FS_PER_NS


def native(step_time: StepTime) -> RooflineStepTime | StepTime:
    """What the native loop calls: rates that it knows itself, or a Python object for each macro-step."""
    rates = getattr(step_time, "rates", None)
    return rates if isinstance(rates, RooflineStepTime) else step_time


def _later(work: StepWork, steps: int) -> StepWork:
    return StepWork(
        prefill_tokens=work.prefill_tokens,
        prefill_pairs=work.prefill_pairs,
        fresh_tokens=work.fresh_tokens,
        fresh_pairs=work.fresh_pairs,
        prefill_context=work.prefill_context,
        decode_rows=work.decode_rows,
        context_tokens=work.context_tokens + work.decode_rows * steps,
        longest_context=work.longest_context + steps if work.decode_rows else 0,
        sampled_rows=work.sampled_rows,
        padding_tokens=work.padding_tokens,
        swap_bytes=0,  # the copies come before the first step
    )


def _scaled(value: int, share: tuple[int, int]) -> int:
    return value * share[0] // share[1]
