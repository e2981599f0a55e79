"""Which requests of a trace are too large for the context of a model, or for the whole KV cache on a card."""

from collections.abc import Sequence

from ...errors import OverBudget
from ...experiment import build_experiment
from ...workloads import DeviceSpec, ModelSpec, Trace, device_names, load_device, load_model, model_names
from ..judging.table import Cell, ReportTable

_STAND_IN = "tiny"  # a model for tests only


def too_large(trace: Trace, chosen: ModelSpec | None = None) -> ReportTable:
    """One row per built-in model, and one for the chosen model if it is another; one column per device."""
    names = [name for name in model_names() if name != _STAND_IN]
    models = [load_model(name) for name in names]
    if chosen is not None and chosen not in models:
        models.append(chosen)
    devices = [load_device(name) for name in device_names()]
    return ReportTable(_heads(devices), [_row(trace, model, devices) for model in models])


def _heads(devices: Sequence[DeviceSpec]) -> list[tuple[str, str]]:
    return [
        ("model", "its shape decides how much memory a token takes"),
        ("context", "tokens in the context window of the model"),
        ("beyond it", "requests whose prompt and output together exceed the context"),
        *((device.name, f"requests longer than the whole KV cache of one {device.name}") for device in devices),
    ]


def _row(trace: Trace, model: ModelSpec, devices: Sequence[DeviceSpec]) -> list[Cell]:
    return [
        Cell(model.name, 0),
        Cell(f"{model.context_tokens:,}", model.context_tokens),
        _share(trace, model.context_tokens),
        *(_on(trace, model, device) for device in devices),
    ]


def _on(trace: Trace, model: ModelSpec, device: DeviceSpec) -> Cell:
    try:
        memory = build_experiment(trace, model, device).memory
    except OverBudget:
        return Cell("too small", 2)
    return _share(trace, memory.pool_blocks * memory.block_tokens)


def _share(trace: Trace, most_tokens: int) -> Cell:
    over = int((trace.prompt_tokens + trace.output_tokens > most_tokens).sum())
    share = over / len(trace)
    return Cell("none" if not over else f"{share:.1%}" if share >= 5e-4 else "< 0.1%", share)
