"""The shape of a model from the `config.json` of a Hugging Face folder."""

import os
from pathlib import Path
from typing import Any

import msgspec

from ...errors import InvalidModel, quoted
from ..decoding import problem_of
from .specs import ModelSpec, RopeScaling, load_model

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")

_WHOLE = (
    *("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "vocab_size"),
    "max_position_embeddings",
)


def model_named(name: str) -> ModelSpec:
    """A model of the catalogue, or the model in a folder. Raises UnknownName, InvalidModel."""
    if os.sep in name or Path(name).is_dir():
        return read_model_folder(Path(name))
    return load_model(name)


def read_model_folder(folder: Path) -> ModelSpec:
    """The model that a folder describes. Its weights are not read.

    Raises:
        InvalidModel: config.json is missing, is not JSON or lacks a field, or the family is not supported.
    """
    path = folder / "config.json"
    try:
        config = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        raise InvalidModel(f"{folder} is not a model: it has no config.json") from None
    except OSError as error:
        raise InvalidModel(f"cannot read {path}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise InvalidModel(f"{path} is not a model's config: {problem_of(error)}") from None
    family = config.get("model_type")
    if family not in FAMILIES:
        raise InvalidModel(f"{path}: model_type is {quoted(family)}, supported are {', '.join(FAMILIES)}")
    _refuse_unsupported(config, path)
    try:
        return _spec(folder, family, config)
    except KeyError as error:
        raise InvalidModel(f"{path} lacks {error.args[0]}") from None
    except (TypeError, ValueError, AttributeError, msgspec.ValidationError) as error:
        raise InvalidModel(f"{path}: {problem_of(error)}") from None


def _refuse_unsupported(config: dict[str, Any], path: Path) -> None:
    biased = config.get("attention_bias") and config["model_type"] != "qwen2"
    for wrong, what in (
        (config.get("hidden_act", "silu") != "silu", f"hidden_act {quoted(config.get('hidden_act'))}"),
        (biased, "attention_bias on the output projection"),
        (config.get("mlp_bias"), "mlp_bias"),
        (config.get("quantization_config"), "quantised weights"),
    ):
        if wrong:
            raise InvalidModel(f"{path}: {what} is not supported; the models are Llama 2/3, Qwen2/2.5, Qwen3, Mistral")


def _spec(folder: Path, family: str, config: dict[str, Any]) -> ModelSpec:
    rope = _rope(config)
    for name in _WHOLE:
        if not isinstance(config[name], int) or config[name] < 1:
            raise InvalidModel(
                f"{folder / 'config.json'}: {name} is {quoted(config[name])}, expected a whole number of at least 1"
            )
    context = config["max_position_embeddings"]
    if config.get("sliding_window") and config.get("use_sliding_window", True):
        context = min(context, config["sliding_window"])  # attention is full attention within the window
    fields = {
        "name": folder.resolve().name,
        "layers": config["num_hidden_layers"],
        "hidden": config["hidden_size"],
        "query_heads": config["num_attention_heads"],
        "kv_heads": config.get("num_key_value_heads") or config["num_attention_heads"],
        "head_dim": config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"],
        "intermediate": config["intermediate_size"],
        "vocab": config["vocab_size"],
        "context_tokens": context,
        "source": str(folder / "config.json"),
        "tied_embeddings": bool(config.get("tie_word_embeddings", False)),
        "qkv_bias": family == "qwen2",
        "qk_norm": family == "qwen3",
        "dtype_bytes": 4 if "float32" in (config.get("dtype"), config.get("torch_dtype")) else 2,
        "rope_theta": float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0),
        "norm_epsilon": float(config["rms_norm_eps"]),
        "rope_scaling": _scaling(rope, folder),
    }
    return msgspec.convert(fields, ModelSpec)


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    """The rotary settings: `rope_parameters` since transformers 5, `rope_scaling` before."""
    return config.get("rope_parameters") or config.get("rope_scaling") or {}


def _scaling(rope: dict[str, Any], folder: Path) -> RopeScaling | None:
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return None
    if kind != "llama3":
        raise InvalidModel(f"{folder / 'config.json'}: rope scaling {quoted(kind)} is not supported, expected 'llama3'")
    return RopeScaling(
        factor=float(rope["factor"]),
        low_freq_factor=float(rope["low_freq_factor"]),
        high_freq_factor=float(rope["high_freq_factor"]),
        original_context_tokens=int(rope["original_max_position_embeddings"]),
    )
