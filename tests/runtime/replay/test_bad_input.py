"""Models, devices and backends that cannot be used: one line that says what, where and what to do."""

import json
import re

import pytest
import torch
from safetensors.torch import save_file

from warpgroup.errors import DeviceUnavailable, InvalidModel, InvalidScenario
from warpgroup.runtime import choose_attention, generate, open_machine, require_blocks
from warpgroup.runtime.model.weights import empty_weights, load_weights
from warpgroup.workloads import load_model, read_model_folder

CONFIG = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-6,
    "dtype": "float32",
}
CPU = torch.device("cpu")


def tensors() -> dict[str, torch.Tensor]:
    shapes = {
        "model.embed_tokens": (64, 32),
        "model.norm": (32,),
        "lm_head": (64, 32),
        "model.layers.0.input_layernorm": (32,),
        "model.layers.0.post_attention_layernorm": (32,),
        "model.layers.0.self_attn.q_proj": (32, 32),
        "model.layers.0.self_attn.k_proj": (16, 32),
        "model.layers.0.self_attn.v_proj": (16, 32),
        "model.layers.0.self_attn.o_proj": (32, 32),
        "model.layers.0.mlp.gate_proj": (48, 32),
        "model.layers.0.mlp.up_proj": (48, 32),
        "model.layers.0.mlp.down_proj": (32, 48),
    }
    return {f"{name}.weight": torch.randn(shape) for name, shape in shapes.items()}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    save_file(tensors(), tmp_path / "model.safetensors")
    return tmp_path


def test_a_whole_folder_is_read(folder):
    weights = load_weights(folder, read_model_folder(folder), CPU)
    assert weights.layers[0].qkv.shape == (64, 32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mamba"}, "model_type is 'mamba', supported are llama, mistral, qwen2, qwen3"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu' is not supported"),
        ({"attention_bias": True}, "attention_bias on the output projection is not supported"),
        ({"quantization_config": {"bits": 4}}, "quantised weights is not supported"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "rope scaling 'yarn' is not supported"),
        ({"hidden_size": "many"}, "hidden_size is 'many', expected a number from 1 on"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0, expected a number from 1 on"),
        ({"rope_theta": "high"}, "could not convert string to float: 'high'"),
        ({"rope_scaling": [4]}, "'list' object has no attribute 'get'"),
        ({"rms_norm_eps": [1]}, "float() argument must be a string or a real number"),
    ],
)
def test_a_config_of_an_unsupported_model_is_refused(folder, change, message):
    (folder / "config.json").write_text(json.dumps(CONFIG | change))
    with pytest.raises(InvalidModel, match=re.escape(message)):
        read_model_folder(folder)


def test_a_config_that_lacks_a_field_or_is_not_json_is_refused(folder, tmp_path):
    (folder / "config.json").write_text(json.dumps({k: v for k, v in CONFIG.items() if k != "vocab_size"}))
    with pytest.raises(InvalidModel, match=r"config\.json lacks vocab_size"):
        read_model_folder(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(InvalidModel, match="is not a model's config"):
        read_model_folder(folder)
    with pytest.raises(InvalidModel, match=r"is not a model: it has no config\.json"):
        read_model_folder(tmp_path / "nowhere")


def test_a_sliding_window_is_the_longest_context(folder):
    (folder / "config.json").write_text(json.dumps(CONFIG | {"model_type": "mistral", "sliding_window": 100}))
    assert read_model_folder(folder).context_tokens == 100


def test_weights_of_another_shape_are_refused(folder):
    save_file(tensors() | {"lm_head.weight": torch.randn(65, 32)}, folder / "model.safetensors")
    with pytest.raises(InvalidModel, match=r"lm_head\.weight is \(65, 32\), config\.json asks for \(64, 32\)"):
        load_weights(folder, read_model_folder(folder), CPU)


def test_missing_weights_are_named(folder):
    some = {name: tensor for name, tensor in tensors().items() if "v_proj" not in name}
    save_file(some, folder / "model.safetensors")
    with pytest.raises(InvalidModel, match=r"lack model\.layers\.0\.self_attn\.v_proj\.weight and 0 more"):
        load_weights(folder, read_model_folder(folder), CPU)


def test_a_corrupt_file_is_named(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidModel, match=r"cannot read .*model\.safetensors: .*; download it again"):
        load_weights(folder, read_model_folder(folder), CPU)


def test_pickles_are_never_opened(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(InvalidModel, match="pickles, which are never opened"):
        load_weights(folder, read_model_folder(folder), CPU)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_the_options_for_a_cpu_are_named():
    with pytest.raises(DeviceUnavailable, match="--model tiny --device cpu"):
        open_machine("auto")


def test_devices_and_backends_that_do_not_exist_are_refused():
    with pytest.raises(DeviceUnavailable, match="not on 'tpu'"):
        open_machine("tpu")
    machine, spec = open_machine("cpu"), load_model("tiny")
    with pytest.raises(InvalidScenario, match="expected one of auto, paged, flash, torch-flash, sdpa"):
        choose_attention("xformers", machine, spec)
    with pytest.raises(DeviceUnavailable, match="choose --attention sdpa"):
        choose_attention("flash", machine, spec)
    attention = choose_attention("auto", machine, spec)
    attention.block_multiple = 256
    with pytest.raises(InvalidScenario, match="--block-tokens is 16, but sdpa"):
        require_blocks(attention, 16)


def test_a_policy_that_needs_true_lengths_is_refused_for_real_prompts():
    with pytest.raises(InvalidScenario, match="needs true output lengths"):
        generate([[1]], "tiny", max_new_tokens=2, policy="oracle", device="cpu")


def test_memory_is_laid_out_before_it_is_filled():
    weights = empty_weights(load_model("tiny"), CPU)
    assert weights.layers[0].gate_up.shape == (512, 128)
