"""The split-KV schedule: every token is computed once, and no CTA has much more to do than another."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpgroup.csrc import AttentionSchedule

FIRST, QUERIES, POSITION, TABLE, START, STOP, TILE, PARTS, PLACE = range(9)
OVERHEAD = 90


def schedule_rows(lengths: list[int], ctas: int, filling: int = 0):
    """Items as an array, the edges, and the load of the most loaded CTA."""
    schedule = AttentionSchedule()
    items = np.full(AttentionSchedule.most_items(len(lengths), ctas) * AttentionSchedule.ITEM, -7, dtype=np.int32)
    edges = np.full(len(lengths) + filling + 1, -7, dtype=np.int32)
    count = schedule.rows(np.array(lengths, dtype=np.int64), ctas, items, edges)
    return items.reshape(-1, AttentionSchedule.ITEM)[:count], edges, schedule.longest


def loads(items: np.ndarray, ctas: int) -> list[int]:
    lengths = items[:, STOP] - items[:, START]
    return [int(lengths[cta::ctas].sum()) for cta in range(ctas)]


@given(
    lengths=st.lists(st.integers(1, 6000), max_size=300),
    ctas=st.integers(1, 140),
    filling=st.integers(0, 3),
)
def test_parts_cover_every_token_once(lengths, ctas, filling):
    items, edges, longest = schedule_rows(lengths, ctas, filling)
    assert sorted(items[:, PLACE].tolist()) == [*range(len(items))]
    by_place = items[np.argsort(items[:, PLACE])]
    assert edges[0] == 0
    assert edges[len(lengths) :].tolist() == [len(items)] * (filling + 1)
    for row, length in enumerate(lengths):
        parts = by_place[edges[row] : edges[row + 1]]
        assert (parts[:, TILE] == row).all()
        assert (parts[:, PARTS] == len(parts)).all()
        assert parts[:, START].tolist() == [0, *parts[:-1, STOP].tolist()]
        assert parts[-1, STOP] == length
        assert (parts[:, START] < parts[:, STOP]).all()
        assert (parts[:, START] % 16 == 0).all()
        assert (parts[:, [FIRST, QUERIES, POSITION, TABLE]] == [row, 1, length - 1, row]).all()
    with_overhead = [load + OVERHEAD * len(items[cta::ctas]) for cta, load in enumerate(loads(items, ctas))]
    assert longest == max(with_overhead, default=0)


@given(lengths=st.lists(st.integers(1, 6000), min_size=1, max_size=300), ctas=st.integers(1, 140))
def test_parts_are_scheduled_evenly(lengths, ctas):
    """Lengths are sorted to 16 tokens: each round may add so much to what the longest part makes unavoidable."""
    items, _, _ = schedule_rows(lengths, ctas)
    found = loads(items, ctas)
    longest = int((items[:, STOP] - items[:, START]).max())
    assert max(found) - min(found) <= longest + 16 * (len(items) // ctas + 1)


@pytest.mark.parametrize("rows", [22, 48, 64, 96, 130, 256, 700])
@pytest.mark.parametrize("ctas", [66, 99, 132])
def test_the_longest_hand_is_near_its_fair_share_whatever_the_number_of_rows(rows, ctas):
    """As many rows as CTAs is the hard case: one whole cache each is as slow as the longest of them."""
    lengths = np.clip(np.random.default_rng(rows).lognormal(6.9, 0.8, rows), 50, 6000).astype(int).tolist()
    items, _, _ = schedule_rows(lengths, ctas)
    assert max(loads(items, ctas)) <= 1.3 * sum(lengths) / ctas + 64


@given(
    chunks=st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 300)), max_size=4),
    ctas=st.integers(1, 140),
)
def test_chunks_are_tiled_and_every_tile_sees_up_to_its_last_query(chunks, ctas):
    tiles = []
    for place, (start, tokens) in enumerate(chunks):
        before = sum(tokens for _, tokens in chunks[:place])
        for query in range(0, tokens, 16):
            here = min(16, tokens - query)
            tiles.append((before + query, here, start + query, place, start + query + here))
    items = np.zeros(AttentionSchedule.most_items(len(tiles), ctas) * AttentionSchedule.ITEM, dtype=np.int32)
    edges = np.zeros(len(tiles) + 1, dtype=np.int32)
    count = AttentionSchedule().chunks(chunks, 16, ctas, items, edges)
    items = items.reshape(-1, AttentionSchedule.ITEM)[:count]
    for tile, (*head, seen) in enumerate(tiles):
        mine = items[items[:, TILE] == tile]
        assert (mine[:, :4] == head).all()
        assert int((mine[:, STOP] - mine[:, START]).sum()) == seen


@pytest.mark.parametrize(
    ("lengths", "items", "edges", "ctas", "message"),
    [
        ([5], 8, 2, 4, "items is too short"),
        ([5], 900, 1, 4, "edges is too short"),
        ([5, 0], 900, 3, 4, "each row must see at least one token"),
        ([5], 900, 2, 0, "ctas must be at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(lengths, items, edges, ctas, message):
    with pytest.raises(ValueError, match=message):
        AttentionSchedule().rows(
            np.array(lengths), ctas, np.zeros(items, dtype=np.int32), np.zeros(edges, dtype=np.int32)
        )
