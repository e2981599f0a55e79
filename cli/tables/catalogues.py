"""What can be chosen: policies, models, devices and scenarios."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ...csrc import PolicyInfo
from ...experiment import GIB, geometry_of
from ...workloads import DeviceSpec, ModelSpec, Scenario
from ..terminal import stdout


def show_policies(infos: Sequence[PolicyInfo]) -> None:
    """The policies: for each, the engine that runs it, what it stands for, when it admits, and its parameters."""
    for info in infos:
        name = f"{info.id} ({info.engine})" if info.engine else info.id
        parameters = [f"{p.name}={p.default:g}: {p.meaning}" for p in info.parameters]
        _show_block(name, info.stands_for, f"Admits: {info.formula}", *parameters)


def show_scenarios(listed: Sequence[Scenario]) -> None:
    """The built-in scenarios: for each, its machine and what it shows."""
    for each in listed:
        budget = f"a KV budget of {each.kv_budget_tokens:,} tokens" if each.kv_budget_tokens else each.vram
        _show_block(each.name, f"{each.model} on {each.device} with {budget}", each.purpose)


def show_models(specs: Sequence[ModelSpec]) -> None:
    """The model shapes."""
    table = Table(box=None, pad_edge=False)
    for column in ("model", "parameters", "weights", "KV per token", "context"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for spec in specs:
        geometry = geometry_of(spec)
        table.add_row(
            spec.name,
            f"{geometry.parameters / 1e9:.2f} B",
            f"{geometry.weight_bytes / GIB:.1f} GiB",
            f"{geometry.kv_bytes_per_token:,} B",
            f"{spec.context_tokens:,}",
        )
    stdout.print(table)


def show_devices(specs: Sequence[DeviceSpec]) -> None:
    """The devices, and where their figures come from."""
    table = Table(box=None, pad_edge=False)
    for column in ("device", "memory", "bandwidth", "bf16"):
        table.add_column(column, justify="left" if column == "device" else "right")
    table.add_column("source")
    for spec in specs:
        table.add_row(
            spec.name,
            f"{spec.memory_bytes / GIB:.1f} GiB",
            f"{spec.bandwidth_bytes_s / 1e12:.2f} TB/s",
            f"{spec.bf16_flops / 1e12:.0f} TFLOP/s",
            spec.source,
        )
    stdout.print(table)


def show_settings(settings: Mapping[str, Any]) -> None:
    """Names and values, one in a line; those that are not set are left out."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, value in settings.items():
        if value not in (None, "", 0, [], {}) or name == "seed":
            table.add_row(name, escape(_in_words(value)))
    stdout.print(table)


def _in_words(value: Any) -> str:
    """A setting as text: parts of a list with commas, those of a table as `name value`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_in_words(each)}" for name, each in value.items() if each not in (None, "", 0, []))
    if isinstance(value, list | tuple):
        return ("; " if any(isinstance(each, Mapping) for each in value) else ", ").join(map(_in_words, value))
    return str(value)


def _show_block(name: str, *paragraphs: str) -> None:
    """A name, and indented paragraphs under it."""
    stdout.print(Text(name, style="bold"))
    for paragraph in paragraphs:
        stdout.print(Padding(Text(paragraph), (0, 0, 0, 4)))
    stdout.print()
