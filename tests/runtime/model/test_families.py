"""The model against transformers: the same greedy tokens, no matter how the requests are batched."""

import warnings

import numpy as np
import pytest
import torch
from support.replays import replay

from warpgroup.runtime import generate
from warpgroup.workloads import read_model_folder

transformers = pytest.importorskip("transformers")

VOCAB = 211
SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "eos_token_id": None,
    "dtype": "float32",
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
FAMILIES = {
    "llama-2": ("LlamaConfig", {"num_key_value_heads": 4}),
    "llama-3.1": ("LlamaConfig", {"rope_parameters": LLAMA3_ROPE}),
    "mistral": ("MistralConfig", {"sliding_window": None}),
    "qwen2": ("Qwen2Config", {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3Config", {"head_dim": 32}),
}
PROMPTS = (3, 70, 17, 1, 40)
OUTPUT = 64
ROWS = [(0, prompt, OUTPUT) for prompt in PROMPTS]
BATCHINGS = {
    "packed": ("paged", {"step_tokens": 256}),
    "chunked": ("sarathi(chunk=16)", {"step_tokens": 16}),
    "padded": ("count-static(n=5)", {}),
    "evicted and recomputed": ("paged", {"kv_blocks": 16}),
    "evicted and swapped": ("skyline(eager=1)", {"kv_blocks": 16, "slow_device": True}),
}


@pytest.fixture(scope="module", params=FAMILIES)
def checkpoint(request, tmp_path_factory):
    name, changes = FAMILIES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, name)(**SHAPE | changes)).eval()
        for parameter in model.parameters():  # larger than at the start of training: logits far apart
            parameter.data.normal_(0, 0.2)
        model.save_pretrained(folder)
    return folder, model


def greedy(model, prompt: list[int], count: int) -> list[int]:
    """Token after token, with a KV cache."""
    found, cache, ids = [], None, torch.tensor([prompt])
    with torch.no_grad():
        for _ in range(count):
            step = model(input_ids=ids, past_key_values=cache, use_cache=True)
            cache, ids = step.past_key_values, step.logits[:, -1:].argmax(-1)
            found.append(int(ids))
    return found


@pytest.mark.parametrize("batching", BATCHINGS)
def test_greedy_tokens_are_those_of_transformers(checkpoint, batching):
    folder, model = checkpoint
    policy, limits = BATCHINGS[batching]
    made = replay(ROWS, policy, model=read_model_folder(folder), weights_folder=folder, **limits)
    assert made.run.info.summary["finished"] == len(ROWS)
    if "evicted" in batching:
        assert made.run.info.summary["preemptions"] > 0
        assert bool(made.run.steps["swap_bytes"].any()) == ("swapped" in batching)
    assert made.tokens == [greedy(model, prompt, OUTPUT) for prompt in made.prompts]


def test_an_output_ends_with_its_end_token(checkpoint):
    folder, model = checkpoint
    rng = np.random.default_rng(1)
    prompts = [rng.integers(0, VOCAB, size=length).tolist() for length in (9, 33)]
    whole = [greedy(model, prompt, 30) for prompt in prompts]
    end = whole[0][7]
    expected = [tokens[: tokens.index(end) + 1] if end in tokens else tokens for tokens in whole]
    for policy in ("paged", "count-static(n=2)", "count-static(n=8)"):
        assert generate(prompts, folder, max_new_tokens=30, eos_token=end, policy=policy, device="cpu") == expected
