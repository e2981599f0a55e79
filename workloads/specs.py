"""Model and device shapes, from the TOML files beside this one."""

from functools import cache
from importlib.resources import files
from typing import TypeVar

import msgspec

from ..errors import UnknownName


class ModelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shape of a decoder-only transformer of the Llama family."""

    name: str
    layers: int
    hidden: int
    query_heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    context_tokens: int
    source: str
    tied_embeddings: bool = False
    qkv_bias: bool = False
    qk_norm: bool = False
    dtype_bytes: int = 2


class DeviceSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A GPU: what it holds and how fast it is.

    `measured` says whether bandwidth and FLOP/s were reached on the card, or are its datasheet's peaks.
    `context_bytes` is what CUDA takes outside the allocator; `step_tokens` and `max_seqs` are engine defaults.
    """

    name: str
    memory_bytes: int
    bandwidth_bytes_s: int
    bf16_flops: int
    measured: bool
    context_bytes: int
    step_tokens: int
    max_seqs: int
    source: str


_Spec = TypeVar("_Spec", ModelSpec, DeviceSpec)


@cache
def _load(file: str, kind: type[_Spec]) -> dict[str, _Spec]:
    text = (files(__package__) / "data" / file).read_bytes()
    specs = msgspec.toml.decode(text, type=dict[str, list[kind]])  # type: ignore[valid-type]
    return {spec.name: spec for entries in specs.values() for spec in entries}


def model_names() -> list[str]:
    """Every model, in the order of the file."""
    return list(_load("models.toml", ModelSpec))


def device_names() -> list[str]:
    """Every device, in the order of the file."""
    return list(_load("devices.toml", DeviceSpec))


def load_model(name: str) -> ModelSpec:
    """A model by name. Raises UnknownName."""
    return _find("model", name, _load("models.toml", ModelSpec))


def load_device(name: str) -> DeviceSpec:
    """A device by name. Raises UnknownName."""
    return _find("device", name, _load("devices.toml", DeviceSpec))


def _find(kind: str, name: str, specs: dict[str, _Spec]) -> _Spec:
    try:
        return specs[name.lower()]
    except KeyError:
        raise UnknownName(kind, name, specs) from None
