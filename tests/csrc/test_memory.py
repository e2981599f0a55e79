"""VRAM arithmetic, to the byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpgroup.csrc import MemoryModel, ModelGeometry

LLAMA_8B = {
    "layers": 32,
    "hidden": 4096,
    "query_heads": 32,
    "kv_heads": 8,
    "head_dim": 128,
    "intermediate": 14336,
    "vocab": 128256,
}


def model(**changes) -> ModelGeometry:
    return ModelGeometry(**(LLAMA_8B | changes))


def test_llama_3_1_8b_has_its_published_number_of_parameters():
    assert model().parameters == 8_030_261_248
    assert model().weight_bytes == 2 * 8_030_261_248
    assert model().kv_bytes_per_token == 131_072


def test_the_input_embedding_is_not_multiplied_with():
    assert model().parameters - model().matmul_parameters == 128256 * 4096
    assert model(tied_embeddings=True).parameters == model().matmul_parameters


def test_activations_of_a_wide_step_are_those_of_the_mlp():
    # residual, its normed copy and three intermediate tensors, in bf16
    assert model().activation_bytes(8192, 0) == 8192 * 2 * (2 * 4096 + 3 * 14336)


def test_activations_of_many_sampled_rows_are_the_logits():
    # residual and the gathered rows in bf16, logits in float32
    assert model().activation_bytes(1024, 1024) == 1024 * (2 * 2 * 4096 + 4 * 128256)


def test_small_tensors_are_rounded_to_the_allocators_block():
    tiny = ModelGeometry(layers=1, hidden=8, query_heads=1, kv_heads=1, head_dim=8, intermediate=8, vocab=8)
    assert tiny.activation_bytes(1, 1) % 512 == 0
    assert tiny.activation_bytes(1, 1) > 1 * 8 * 2 * 5


@given(
    blocks=st.integers(1, 100_000),
    block_tokens=st.sampled_from([16, 32, 256]),
    step_tokens=st.integers(1, 16_384),
    max_seqs=st.integers(1, 1024),
    context=st.integers(0, 10**9),
)
def test_a_budget_in_blocks_becomes_bytes_and_back(blocks, block_tokens, step_tokens, max_seqs, context):
    memory = MemoryModel.for_blocks(
        model(),
        blocks=blocks,
        context_bytes=context,
        block_tokens=block_tokens,
        step_tokens=step_tokens,
        max_seqs=max_seqs,
    )
    assert memory.pool_blocks == blocks
    assert memory.block_bytes % 16 == 0
    assert memory.budget_bytes == (memory.fixed_bytes + memory.activation_reserve_bytes + blocks * memory.block_bytes)


@given(budget=st.integers(17 * 10**9, 141 * 10**9))
def test_the_pool_takes_what_is_left_and_never_more(budget):
    memory = MemoryModel(model(), budget_bytes=budget, context_bytes=0, block_tokens=16, step_tokens=2048, max_seqs=256)
    used = memory.fixed_bytes + memory.activation_reserve_bytes + memory.pool_blocks * memory.block_bytes
    assert 0 <= budget - used < memory.block_bytes


def test_padded_kv_is_one_tensor_a_layer_for_keys_and_one_for_values():
    memory = MemoryModel.for_blocks(model(), blocks=1, context_bytes=0, block_tokens=16, step_tokens=16, max_seqs=1)
    assert memory.padded_kv_bytes(4, 1000) == 4 * 1000 * 131_072
    assert memory.padded_kv_bytes(1, 1) == 64 * 2048


def test_a_model_that_does_not_fit_is_refused_with_the_numbers():
    with pytest.raises(ValueError, match="leaves no room for one KV block: weights take 16060522496"):
        MemoryModel(model(), budget_bytes=16 * 10**9, context_bytes=0, block_tokens=16, step_tokens=1, max_seqs=1)


def test_a_shape_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="layers is 0, expected at least 1"):
        model(layers=0)
    with pytest.raises(ValueError, match="query_heads is 30, expected a multiple of kv_heads, 8"):
        model(query_heads=30)
