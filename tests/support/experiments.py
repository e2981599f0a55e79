"""Small experiments for tests: literal requests on a tiny model."""

from warpgroup.experiment import Experiment, Limits, build_experiment
from warpgroup.workloads import DeviceSpec, ModelSpec, Trace

TINY_MODEL = ModelSpec(
    name="tiny",
    layers=2,
    hidden=64,
    query_heads=4,
    kv_heads=2,
    head_dim=16,
    intermediate=128,
    vocab=256,
    tied_embeddings=False,
    qkv_bias=False,
    context_tokens=4096,
    source="made up for tests",
)
TINY_DEVICE = DeviceSpec(
    name="tiny-device",
    memory_bytes=1 << 30,
    bandwidth_bytes_s=10**9,
    bf16_flops=10**11,
    measured=True,
    multiprocessors=8,
    host_link_bytes_s=10**9,
    context_bytes=0,
    step_tokens=256,
    max_seqs=64,
    source="made up for tests",
)


def trace(rows: list[tuple[int, int, int]], *, max_new_tokens: int = 100, name: str = "rows") -> Trace:
    """A trace of (arrival in ns, prompt, output)."""
    return Trace.of_rows(rows, max_new_tokens=max_new_tokens, name=name)


def experiment(rows: list[tuple[int, int, int]] | Trace, *, max_new_tokens: int = 100, **limits: int) -> Experiment:
    """The rows on the tiny model and device."""
    requests = rows if isinstance(rows, Trace) else trace(rows, max_new_tokens=max_new_tokens)
    return build_experiment(requests, TINY_MODEL, TINY_DEVICE, limits=Limits(**limits))
