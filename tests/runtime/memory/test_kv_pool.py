"""The KV pool: the content of a block stays with its request, wherever the block is moved."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from warpgroup.runtime.machine import open_machine
from warpgroup.runtime.memory.kv_pool import KvPool
from warpgroup.workloads import load_model

BLOCK = 16


def pool_of(blocks: int) -> KvPool:
    pool = KvPool(load_model("tiny"), open_machine("cpu"), block_tokens=BLOCK, limit_blocks=64, seats=8, width=8)
    pool.resize(blocks)
    pool.open_host(64 * pool.block_bytes)
    return pool


def write(pool: KvPool, request: int, seat: int, tokens: int) -> None:
    """Write the number of the request and the position into the cache of each of its tokens."""
    key, _ = pool.layers()[1]
    for position in range(tokens):
        key[pool.block_manager.tables[seat, position // BLOCK], position % BLOCK] = 1000 * request + position


def read(pool: KvPool, seat: int, tokens: int) -> list[float]:
    key, _ = pool.layers()[1]
    return [float(key[pool.block_manager.tables[seat, p // BLOCK], p % BLOCK, 0, 0]) for p in range(tokens)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 100), min_size=1, max_size=6), st.data())
def test_a_pool_that_shrinks_keeps_what_is_held(lengths, data):
    pool = pool_of(64)
    for request, tokens in enumerate(lengths):
        assert pool.block_manager.hold(request, request, tokens)
        write(pool, request, request, tokens)
    gone = data.draw(st.sets(st.integers(0, len(lengths) - 1), max_size=len(lengths) - 1))
    for request in gone:
        pool.block_manager.release(request)
    pool.resize(data.draw(st.integers(max(pool.held_blocks, 1), 64)))
    for request, tokens in enumerate(lengths):
        if request not in gone:
            assert (pool.block_manager.tables[request, : -(-tokens // BLOCK)] < pool.blocks).all()
            assert read(pool, request, tokens) == [1000 * request + p for p in range(tokens)]


def test_a_cache_comes_back_from_the_host_unchanged():
    pool = pool_of(8)
    block_manager = pool.block_manager
    block_manager.hold(1, 0, 40)
    write(pool, 1, 0, 40)
    pool.copy_out(block_manager.swap_out(1, 40))
    block_manager.release(1)
    block_manager.hold(2, 0, 8 * BLOCK)  # takes and overwrites every block
    write(pool, 2, 0, 8 * BLOCK)
    assert not block_manager.hold(1, 3, 41)
    block_manager.release(2)
    assert block_manager.hold(1, 3, 41)
    pool.copy_in(block_manager.swap_in(1))
    assert read(pool, 3, 40) == [1000 + p for p in range(40)]
    assert block_manager.host_tokens(1) == 0
    with pytest.raises(ValueError, match="request 1 has nothing on the host"):
        block_manager.swap_in(1)


def test_a_pool_that_is_cleared_holds_nothing():
    pool = pool_of(8)
    pool.block_manager.hold(1, 0, 40)
    pool.copy_out(pool.block_manager.swap_out(1, 40))
    pool.clear()
    assert (pool.held_blocks, pool.blocks, pool.block_manager.host_tokens(1)) == (0, 1, 0)


def test_a_pool_does_not_shrink_below_what_is_held():
    pool = pool_of(8)
    pool.block_manager.hold(1, 0, 40)
    with pytest.raises(ValueError, match="cannot shrink to 2 blocks, 3 are held"):
        pool.resize(2)


def test_layers_are_views_of_one_block_of_memory():
    pool = pool_of(4)
    layers = pool.layers()
    assert len(layers) == 2
    layers[0][0][3, 5] = 7.0
    assert torch.equal(pool.layers()[0][0][3, 5], torch.full((2, 32), 7.0))


def test_a_request_that_does_not_fit_changes_nothing():
    block_manager = pool_of(4).block_manager
    assert block_manager.hold(1, 0, 40)
    assert not block_manager.hold(1, 0, 80)
    assert not block_manager.hold(2, 1, 40)
    assert (block_manager.free_blocks, block_manager.hold(1, 0, 30)) == (1, True), "it holds what it held"
    with pytest.raises(ValueError, match="does not fit into seat 8"):
        block_manager.hold(2, 8, 10)
    assert block_manager.free_blocks == 1
    block_manager.open_host(1)
    with pytest.raises(RuntimeError, match="swapped out to more host memory than there is"):
        block_manager.swap_out(1, 40)
