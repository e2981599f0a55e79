"""How long a step takes: the analytic roofline model, and an adapter for any function of a step's work.

    step = max(weights / bandwidth, FLOPs of the matrix products / compute rate)
         + KV bytes read / KV read rate
         + FLOPs of prefill attention / attention rate
         + bytes swapped / host link
         + overhead

The products of a step share one pass over the weights. Attention reads each decoding request's own cache, and is added.
A datasheet's peaks are first reduced by the shares that an H200 reached (it read 4.15 of 4.8 TB/s, and computed 786 of
989 TFLOP/s in a large bf16 product). Devices with measured peaks are not reduced. The model is analytic, not
calibrated: it was not fitted to any run of an engine.

Durations are integers in femtoseconds. The total of k equal steps has the closed form F(k). The sum of F(j+1) - F(j)
equals F(k) to the last digit, so macro-steps and single steps give the same run.
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
"""Packed prefill of a whole 7B model: 38,409 tokens/s on an H200, as a share of its 786 TFLOP/s."""
KV_READ_SHARE = (86, 100)
"""flash_attn_with_kvcache at 64 to 256 rows: 3.56 to 3.58 TB/s on an H200, as a share of its 4.15 TB/s."""
ATTENTION_SHARE = (43, 100)
"""flash_attn_varlen_func at 8,192 tokens: 335 TFLOP/s on an H200, as a share of its 786 TFLOP/s."""
OVERHEAD_FS = 1_500_000 * FS_PER_NS
"""Launches and host work that kernels do not hide: vLLM's decode steps on an H200 took 1.6 ms beyond the rest."""


@runtime_checkable
class StepTime(Protocol):
    """Predicts the durations of steps for the simulator."""

    @property
    def description(self) -> str:
        """What the model is and how accurate it is; shown with all results that use it."""
        ...

    def cumulative_fs(self, work: StepWork, steps: int) -> int:
        """The total of `steps` steps in femtoseconds.

        The first step does `work`. In each later step the cache of every decoding request is one token longer.
        """
        ...


class AnalyticStepTime:
    """The roofline model of this module for one model on one device."""

    def __init__(self, geometry: ModelGeometry, device: DeviceSpec) -> None:
        self._given = analytic_rates(geometry, device)
        self.rates = RooflineStepTime(**self._given)
        self.description = f"analytic roofline for {device.name}, not calibrated"

    def __getstate__(self) -> tuple[dict[str, Any], str]:
        """Pickle the arguments of the rates, since the rates are a C++ object."""
        return self._given, self.description

    def __setstate__(self, state: tuple[dict[str, Any], str]) -> None:
        self._given, self.description = state
        self.rates = RooflineStepTime(**self._given)

    def cumulative_fs(self, work: StepWork, steps: int) -> int:
        """See `StepTime`."""
        return self.rates.cumulative_fs(work, steps)


def analytic_rates(geometry: ModelGeometry, device: DeviceSpec) -> dict[str, Any]:
    """The cost of each part of a step by the formula above, in femtoseconds; see `RooflineStepTime`."""
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
    """A step-time model from a function that returns the nanoseconds of one step."""

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
    """The object that the native loop calls: native rates where there are some, else the Python model itself."""
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
        swap_bytes=0,  # the copies are made before the first step
    )


def _scaled(value: int, share: tuple[int, int]) -> int:
    return value * share[0] // share[1]
