"""VRAM arithmetic, to the byte."""

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import RESULTS

from warpgroup.csrc import MemoryModel, ModelGeometry, num_splits

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


def divided(geometry: ModelGeometry, **plan) -> MemoryModel:
    """A memory model with the limits of a large server; only what is asked for differs."""
    limits = {"context_bytes": 0, "block_tokens": 16, "step_tokens": 16_384, "max_seqs": 1024}
    return MemoryModel.for_blocks(geometry, blocks=1, **(limits | plan))


def test_activations_of_a_wide_step_are_those_of_the_mlp():
    a = divided(model()).activation(prefill_tokens=8192)
    assert a.residual == 8192 * 2 * 4096
    assert a.mlp == 8192 * 2 * (4096 + 3 * 14336)  # the normed input, gate, up and their product, in bf16
    assert a.bytes == a.residual + a.mlp
    assert a.projections == a.attention_output == a.logits == 0


def test_activations_of_many_sampled_rows_are_the_logits():
    a = divided(model()).activation(decode_rows=1024, sampled_rows=1024)
    assert a.logits == 1024 * (2 * 4096 + 2 * 128256)  # the gathered rows and the logits, in bf16
    assert a.bytes == a.residual + a.logits


def test_activations_of_a_narrow_mlp_are_those_of_attention_with_what_flash_attention_adds():
    narrow = model(intermediate=64, vocab=64)
    a = divided(narrow, multiprocessors=132, max_context=768).activation(decode_rows=26, sampled_rows=26)
    assert a.projections == 26 * 2 * (4096 + 4096 + 2 * 1024)
    assert a.attention_output == 26 * 2 * 4096
    assert a.log_sum_exp == 26 * 32 * 4
    assert a.split_accumulators == 6 * 26 * 32 * (128 + 1) * 4
    tensors = [
        26 * 8192,
        26 * 8192,
        26 * 8192,
        *[26 * 2048] * 2,
        26 * 8192,
        26 * 128,
        *[6 * 26 * 32 * 4 * n for n in (1, 128)],
    ]
    assert a.bytes == sum(-(-size // 512) * 512 for size in tensors)


def test_small_tensors_are_rounded_to_the_allocators_block():
    tiny = ModelGeometry(layers=1, hidden=8, query_heads=1, kv_heads=1, head_dim=8, intermediate=8, vocab=8)
    a = divided(tiny).activation(prefill_tokens=1, sampled_rows=1)
    assert a.bytes % 512 == 0
    assert a.rounding > 0


@given(
    prefill=st.integers(0, 2048),
    decode=st.integers(0, 256),
    sampled=st.integers(0, 256),
    intermediate=st.sampled_from([64, 14336]),
    vocab=st.sampled_from([64, 128256]),
)
def test_no_step_within_the_limits_needs_more_than_is_kept_free(prefill, decode, sampled, intermediate, vocab):
    limits = {"step_tokens": 2048, "max_seqs": 256, "multiprocessors": 132, "max_context": 32_768}
    memory = divided(model(intermediate=intermediate, vocab=vocab), **limits)
    if prefill + decode <= 2048:
        step = memory.activation(prefill_tokens=prefill, decode_rows=decode, sampled_rows=sampled)
        assert step.bytes <= memory.activation_reserve_bytes


QWEN_7B = {"hidden": 3584, "query_heads": 28, "kv_heads": 4, "intermediate": 18944, "vocab": 152064}


@pytest.mark.parametrize(("changes", "rows"), [({}, 26), (QWEN_7B, 52)])
def test_split_accumulators_reach_their_known_maximum_on_132_multiprocessors(changes, rows):
    """2.58 MB at 26 rows for 32 query and 8 KV heads, 4.51 MB at 52 rows for 28 and 4, both with 6 splits."""
    geometry = model(**changes)

    def accumulators(b: int, k: int) -> int:
        splits = num_splits(geometry, rows=b, longest=k, multiprocessors=132)
        return 0 if splits == 1 else splits * b * geometry.query_heads * 129 * 4

    sweep = {(b, k): accumulators(b, k) for b in range(1, 513) for k in (256, 768, 4096, 131_072)}
    largest = max(sweep.values())
    assert largest == 6 * rows * geometry.query_heads * 129 * 4
    assert sweep[rows, 768] == largest  # six blocks of keys: five parts would be no fewer rounds than four
    never = 27 if not changes else 53
    assert all(size == 0 for (b, _), size in sweep.items() if b >= never)


MEASURED = RESULTS / "flash_attention_memory_h200.csv"
HEADS = {"llama-3.1-8b": (32, 8), "qwen2.5-7b": (28, 4), "llama-2-7b": (32, 32)}


def test_flash_attention_allocates_on_an_h200_what_the_model_says():
    """Every decode call that was measured: output, log-sum-exp and split accumulators, to the byte."""
    with MEASURED.open() as file:
        calls = [row for row in csv.DictReader(file) if row["call"] == "decode"]
    assert len(calls) == 72
    for call in calls:
        query_heads, kv_heads = HEADS[call["shape"]]
        geometry = model(query_heads=query_heads, kv_heads=kv_heads, intermediate=64, vocab=64)
        memory = divided(geometry, multiprocessors=132, max_context=int(call["longest"]))
        a = memory.activation(decode_rows=int(call["rows"]), sampled_rows=1)
        # The log-sum-exps of the parts and their outputs are two tensors.
        parts = [a.split_accumulators // 129, a.split_accumulators // 129 * 128]
        own = sum(-(-size // 512) * 512 for size in (a.attention_output, a.log_sum_exp, *parts))
        assert own == int(call["measured"]), call


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


def test_padded_kv_is_every_rows_blocks_for_the_padded_length():
    memory = MemoryModel.for_blocks(model(), blocks=1, context_bytes=0, block_tokens=16, step_tokens=16, max_seqs=1)
    assert memory.padded_kv_bytes(4, 1000) == 4 * 1008 * 131_072
    assert memory.padded_kv_bytes(1, 1) == 16 * 131_072


def test_a_model_that_does_not_fit_is_refused_with_the_numbers():
    with pytest.raises(ValueError, match="is too small for one KV block: weights take 16060522496"):
        MemoryModel(model(), budget_bytes=16 * 10**9, context_bytes=0, block_tokens=16, step_tokens=1, max_seqs=1)


def test_a_shape_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="layers is 0, expected at least 1"):
        model(layers=0)
    with pytest.raises(ValueError, match="query_heads is 30, expected a multiple of kv_heads, 8"):
        model(query_heads=30)
