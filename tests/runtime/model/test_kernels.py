"""Our Triton kernels, interpreted on the CPU in float32, against plain PyTorch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import silu

pytest.importorskip("triton")

from warpgroup.runtime.attention.paged import PagedAttention
from warpgroup.runtime.attention.paged_kernels import gather
from warpgroup.runtime.attention.sdpa import SdpaAttention
from warpgroup.runtime.model import small_batch_gemm
from warpgroup.runtime.model.torch_operations import TorchOperations
from warpgroup.runtime.model.triton_operations import TritonOperations
from warpgroup.runtime.step.batch import Sampled
from warpgroup.runtime.step.inputs import Layout, PrefillChunk, Shape, StepLengths

TORCH, TRITON = TorchOperations(), TritonOperations()
TOKENS, HIDDEN, QUERY_HEADS, KV_HEADS, DIM = 9, 96, 6, 2, 32

pytestmark = pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_embedding_takes_ids_and_tokens_that_were_just_drawn():
    table, last = torch.randn(50, HIDDEN), torch.randint(0, 50, (9,), dtype=torch.int32)
    ids = torch.randint(-9, 50, (TOKENS,), dtype=torch.int32)
    close(TRITON.embed(ids, last, table), TORCH.embed(ids, last, table))


def test_norms_add_to_the_residual_stream_and_sum_parts():
    parts, weight = torch.randn(4, TOKENS, HIDDEN), torch.randn(HIDDEN)
    residual = torch.randn(TOKENS, HIDDEN)
    expected_residual = residual.clone()
    expected = TORCH.add_rms_norm(parts.sum(0), expected_residual, weight, 1e-6)
    close(TRITON.add_rms_norm(parts, residual, weight, 1e-6), expected)
    close(residual, expected_residual)
    close(TRITON.rms_norm(parts[0], weight, 1e-6), TORCH.rms_norm(parts[0], weight, 1e-6))


@pytest.mark.parametrize("normed", [False, True])
def test_queries_and_keys_are_rotated_and_stored(normed):
    norm = torch.randn(DIM) if normed else None
    positions = torch.randint(0, 500, (TOKENS,), dtype=torch.int32)
    slots = torch.randperm(128)[:TOKENS].to(torch.int32)
    slots[3] = -1
    rotation = torch.randn(512, DIM)
    found = []
    heads = torch.randn(TOKENS, QUERY_HEADS + 2 * KV_HEADS, DIM)
    for operations in (TORCH, TRITON):
        own, pool = heads.clone(), torch.zeros(8, 2, KV_HEADS, 16, DIM)
        cache = pool.permute(1, 0, 3, 2, 4)
        parts = own.split((QUERY_HEADS, KV_HEADS, KV_HEADS), dim=1)
        operations.rope_and_store(*parts, positions, slots, rotation, cache[0], cache[1], norm, norm, 1e-6)
        found.append((own, pool))
    close(found[1][0], found[0][0])
    close(found[1][1], found[0][1])


def test_the_most_likely_token_is_drawn_and_stored_and_nan_draws_a_token_that_exists():
    logits = torch.randn(TOKENS, 5000)
    logits[2] = float("nan")
    sampled = Sampled(*(torch.arange(TOKENS, dtype=torch.int32) for _ in range(3)))
    last, expected = torch.zeros(TOKENS, dtype=torch.int32), torch.zeros(TOKENS, dtype=torch.int32)
    tokens = TRITON.sample(logits, sampled, 0.0, last)
    whole = torch.arange(TOKENS) != 2
    assert torch.equal(tokens[whole], TORCH.sample(logits, sampled, 0.0, expected)[whole])
    assert torch.equal(tokens, last)
    assert 0 <= int(tokens[2]) < 5000


def test_drawn_tokens_follow_the_distribution_and_their_seed():
    rows = 600
    logits = torch.zeros(rows, 8)
    logits[:, 0] = float(np.log(3.0))  # 3 of 10
    sampled = Sampled(*(torch.arange(rows, dtype=torch.int32) for _ in range(3)))
    last = torch.zeros(rows, dtype=torch.int32)
    tokens = TRITON.sample(logits, sampled, 1.0, last)
    assert 0.23 < float((tokens == 0).float().mean()) < 0.37
    assert torch.equal(tokens, TRITON.sample(logits, sampled, 1.0, last))


@pytest.mark.parametrize("rows", [1, 16, 40])
@pytest.mark.parametrize("depth", [512, 320])
def test_products_of_few_rows_are_products(rows, depth):
    x, weight, bias = torch.randn(rows, depth), torch.randn(256, depth), torch.randn(256)
    close(small_batch_gemm.project(x, weight, bias), x @ weight.T + bias)
    close(small_batch_gemm.project_in_parts(x, weight).sum(0), x @ weight.T)
    gate, up = (x @ weight.T).chunk(2, dim=-1)
    torch.testing.assert_close(small_batch_gemm.gated(x, weight), silu(gate) * up, rtol=1e-3, atol=1e-3)


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 300), max_size=5),
    chunks=st.lists(st.tuples(st.integers(0, 100), st.integers(1, 40)), max_size=3),
    padding=st.integers(0, 2),
    seed=st.integers(0, 99),
)
def test_paged_attention_is_attention(lengths, chunks, padding, seed):
    """Parts of equal length, combined, for decoding rows and chunks of any lengths, padded to a larger shape."""
    torch.manual_seed(seed)
    pool = torch.randn(60, 2, KV_HEADS, 16, DIM)
    cache = tuple(pool.permute(1, 0, 3, 2, 4))
    continued = [PrefillChunk(start, tokens) for start, tokens in chunks]
    tokens = sum(chunk.tokens for chunk in continued)
    shape = Shape(len(lengths) + padding, len(chunks) + padding, tokens + padding, 0, 0, 1, 20)
    attention = PagedAttention(multiprocessors=3, kv_heads=KV_HEADS)
    layout = Layout.of(shape, attention.arrays(shape))
    slab = torch.zeros(layout.size, dtype=torch.int32)
    arrays = layout.arrays(slab.numpy())
    rng = np.random.default_rng(seed)
    for name in ("blocks", "chunk_blocks"):
        arrays[name][:] = rng.integers(0, 60, len(arrays[name]))
    none = [0] * padding
    arrays["lengths"][: len(lengths)] = lengths
    arrays["chunk_edges"][:] = np.cumsum([0, *(chunk.tokens for chunk in continued), *none])
    arrays["cache_edges"][:] = np.cumsum([0, *(chunk.start + chunk.tokens for chunk in continued), *none])
    attention.fill(arrays, shape, np.array(lengths, dtype=np.int64), continued)
    batch = layout.batch(slab, StepLengths(longest_chunk=40, longest_cache=140, cached=int(arrays["cache_edges"][-1])))
    query, key = torch.randn(shape.tokens, QUERY_HEADS, DIM), torch.zeros(shape.tokens, KV_HEADS, DIM)
    out, expected = torch.zeros_like(query), torch.zeros_like(query)
    attention.attend(query, key, key, cache, batch, out)
    reference = SdpaAttention()
    reference.begin(batch)
    reference.attend(query, key, key, cache, batch, expected)
    real = [*range(len(lengths)), *range(shape.rows, shape.rows + tokens)]
    close(out[real], expected[real])
    if continued:
        edges = batch.continued.cache_edges[: len(continued) + 1]
        tables = batch.continued.blocks[: len(continued)]
        side_by_side = gather(cache[0], tables, edges, int(edges[-1]))
        one_by_one = [
            cache[0][table].flatten(0, 1)[: chunk.start + chunk.tokens]
            for table, chunk in zip(tables, continued, strict=True)
        ]
        assert torch.equal(side_by_side, torch.cat(one_by_one))
