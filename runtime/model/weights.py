"""The weights of a model on the device: random for a named shape, or read from a Hugging Face folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...errors import DeviceUnavailable, InvalidModel
from ...workloads import ModelSpec
from ..extras import install_command

STANDARD_DEVIATION = 0.02
"""Of random weights: the value with which the Llama family is initialised."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One transformer block. Projections of the same input are one matrix: the rows of q, k, v; those of gate, up."""

    input_norm: torch.Tensor  # (hidden,)
    qkv: torch.Tensor  # ((query_heads + 2 kv_heads) * head_dim, hidden)
    qkv_bias: torch.Tensor | None
    query_norm: torch.Tensor | None  # (head_dim,)
    key_norm: torch.Tensor | None
    output: torch.Tensor  # (hidden, query_heads * head_dim)
    mlp_norm: torch.Tensor
    gate_up: torch.Tensor  # (2 * intermediate, hidden)
    down: torch.Tensor  # (hidden, intermediate)


@dataclass(frozen=True, slots=True)
class Weights:
    """All weights of a model. If embeddings are tied, `head` is the embedding itself."""

    embedding: torch.Tensor  # (vocab, hidden)
    layers: list[Layer]
    final_norm: torch.Tensor
    head: torch.Tensor  # (vocab, hidden)


def dtype_of(spec: ModelSpec) -> torch.dtype:
    """The dtype of the computation: float32 for models of 4 bytes a parameter, else bfloat16."""
    return torch.float32 if spec.dtype_bytes == 4 else torch.bfloat16


def empty_weights(spec: ModelSpec, device: torch.device) -> Weights:
    """The memory for a model, not initialised."""

    def new(*shape: int) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype_of(spec), device=device)

    query, key = spec.query_heads * spec.head_dim, spec.kv_heads * spec.head_dim
    layers = [
        Layer(
            input_norm=new(spec.hidden),
            qkv=new(query + 2 * key, spec.hidden),
            qkv_bias=new(query + 2 * key) if spec.qkv_bias else None,
            query_norm=new(spec.head_dim) if spec.qk_norm else None,
            key_norm=new(spec.head_dim) if spec.qk_norm else None,
            output=new(spec.hidden, query),
            mlp_norm=new(spec.hidden),
            gate_up=new(2 * spec.intermediate, spec.hidden),
            down=new(spec.hidden, spec.intermediate),
        )
        for _ in range(spec.layers)
    ]
    embedding = new(spec.vocab, spec.hidden)
    head = embedding if spec.tied_embeddings else new(spec.vocab, spec.hidden)
    return Weights(embedding, layers, new(spec.hidden), head)


def random_weights(spec: ModelSpec, device: torch.device, seed: int) -> Weights:
    """Weights drawn on the device: norms are 1, all others are normal. The same seed gives the same weights."""
    weights = empty_weights(spec, device)
    generator = torch.Generator(device).manual_seed(seed)
    for name, tensor in tensors_of(weights):
        if name.endswith("norm"):
            tensor.fill_(1)
        else:
            tensor.normal_(0, STANDARD_DEVIATION, generator=generator)
    return weights


def tensors_of(weights: Weights) -> Iterator[tuple[str, torch.Tensor]]:
    """Each tensor with the name of its field; a tied embedding comes once."""
    yield "embedding", weights.embedding
    for layer in weights.layers:
        for name in Layer.__slots__:
            tensor = getattr(layer, name)
            if tensor is not None:
                yield name, tensor
    yield "final_norm", weights.final_norm
    if weights.head is not weights.embedding:
        yield "head", weights.head


def load_weights(folder: Path, spec: ModelSpec, device: torch.device) -> Weights:
    """Read the safetensors files of a folder, tensor by tensor, directly into the weights. Pickles are never opened.

    Raises:
        InvalidModel: a file is missing or corrupt, or a tensor is missing or has not the shape that config.json says.
        DeviceUnavailable: safetensors is not installed.
    """
    weights = empty_weights(spec, device)
    wanted = dict(_places(weights, spec))
    for file in _files(folder):
        for name, tensor in _read(file, device):
            place = wanted.pop(name, None)
            if place is None:
                continue  # rotary tables in old checkpoints, or a head that is tied
            if place.shape != tensor.shape:
                raise InvalidModel(
                    f"{file}: {name} is {tuple(tensor.shape)}, config.json asks for {tuple(place.shape)}: use weights "
                    "and config of the same model"
                )
            place.copy_(tensor)
    if wanted:
        raise InvalidModel(
            f"{folder}: its safetensors files lack {sorted(wanted)[0]} and {len(wanted) - 1} more: download them again"
        )
    return weights


def _places(weights: Weights, spec: ModelSpec) -> Iterator[tuple[str, torch.Tensor]]:
    """The name of each tensor in a Hugging Face checkpoint, and where it goes."""
    query, key = spec.query_heads * spec.head_dim, spec.kv_heads * spec.head_dim
    yield "model.embed_tokens.weight", weights.embedding
    yield "model.norm.weight", weights.final_norm
    if not spec.tied_embeddings:
        yield "lm_head.weight", weights.head
    for index, layer in enumerate(weights.layers):
        at = f"model.layers.{index}"
        yield f"{at}.input_layernorm.weight", layer.input_norm
        yield f"{at}.post_attention_layernorm.weight", layer.mlp_norm
        for name, rows in (("q", slice(0, query)), ("k", slice(query, query + key)), ("v", slice(query + key, None))):
            yield f"{at}.self_attn.{name}_proj.weight", layer.qkv[rows]
            if layer.qkv_bias is not None:
                yield f"{at}.self_attn.{name}_proj.bias", layer.qkv_bias[rows]
        if layer.query_norm is not None and layer.key_norm is not None:
            yield f"{at}.self_attn.q_norm.weight", layer.query_norm
            yield f"{at}.self_attn.k_norm.weight", layer.key_norm
        yield f"{at}.self_attn.o_proj.weight", layer.output
        yield f"{at}.mlp.gate_proj.weight", layer.gate_up[: spec.intermediate]
        yield f"{at}.mlp.up_proj.weight", layer.gate_up[spec.intermediate :]
        yield f"{at}.mlp.down_proj.weight", layer.down


def _files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = (
            "; .bin files are pickles, which are never opened: convert them to safetensors"
            if any(folder.glob("*.bin"))
            else ""
        )
        raise InvalidModel(f"{folder} holds no .safetensors file{pickles}")
    return files


def _read(file: Path, device: torch.device) -> Iterator[tuple[str, torch.Tensor]]:
    try:
        from safetensors import SafetensorError, safe_open
    except ModuleNotFoundError:
        raise DeviceUnavailable(
            f"reading weights needs safetensors, which is not installed: run {install_command('runtime')}"
        ) from None
    try:
        opened: Any = safe_open(file, framework="pt", device=str(device))
        with opened as tensors:
            for name in tensors.keys():  # noqa: SIM118 (it is not a dict)
                yield name, tensors.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise InvalidModel(f"cannot read {file}: {str(error).splitlines()[0]}; download it again") from None
