"""Shapes of models and devices, from the TOML files beside this one."""

from functools import cache
from importlib.resources import files

import msgspec

from ...errors import UnknownName

DEFAULT_MODEL = "llama-3.1-8b"
DEFAULT_DEVICE = "rtx-4090"
"""The defaults: a model that fills a 24 GB card, so that memory is tight."""


class RopeScaling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Llama 3.1's scaled rotary embedding: low frequencies divided by `factor`, high ones kept, a ramp between."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_context_tokens: int


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
    rope_theta: float = 10_000.0
    norm_epsilon: float = 1e-5
    rope_scaling: RopeScaling | None = None


class DeviceSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A GPU: its memory and its speed.

    Attributes:
        measured: whether bandwidth and FLOP/s were measured on the card; if not, they are the peaks of its datasheet.
        host_link_bytes_s: the rate of pinned copies to and from the host.
        context_bytes: the memory that CUDA takes outside the allocator.
        step_tokens, max_seqs: engine defaults.
    """

    name: str
    memory_bytes: int
    bandwidth_bytes_s: int
    bf16_flops: int
    measured: bool
    multiprocessors: int
    host_link_bytes_s: int
    context_bytes: int
    step_tokens: int
    max_seqs: int
    source: str


@cache
def _models() -> dict[str, ModelSpec]:
    tables = msgspec.toml.decode(_data("models.toml"), type=dict[str, list[ModelSpec]])
    return {spec.name: spec for spec in tables["model"]}


@cache
def _devices() -> dict[str, DeviceSpec]:
    tables = msgspec.toml.decode(_data("devices.toml"), type=dict[str, list[DeviceSpec]])
    return {spec.name: spec for spec in tables["device"]}


def _data(file: str) -> bytes:
    return (files(__package__) / file).read_bytes()


def model_names() -> list[str]:
    """The names of all models, in the order of the file."""
    return list(_models())


def device_names() -> list[str]:
    """The names of all devices, in the order of the file."""
    return list(_devices())


def load_model(name: str) -> ModelSpec:
    """A model by name. Raises UnknownName."""
    spec = _models().get(name.lower())
    if spec is None:
        raise UnknownName("model", name, _models())
    return spec


def load_device(name: str) -> DeviceSpec:
    """A device by name. Raises UnknownName."""
    spec = _devices().get(name.lower())
    if spec is None:
        raise UnknownName("device", name, _devices())
    return spec
