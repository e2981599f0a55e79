"""How caches are cut and dealt: nothing is lost, no hand is long."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpgroup.runtime.attention.parts import best_cut, dealt, most_parts

LENGTHS = st.lists(st.integers(1, 6000), max_size=300)


def loads(tokens, order, hands):
    return [sum(tokens[part] for part in order[hand::hands]) for hand in range(hands)]


@given(tokens=LENGTHS, hands=st.integers(1, 140))
def test_parts_cover_every_token_once(tokens, hands):
    cut = best_cut(np.array(tokens, dtype=np.int64), hands)
    assert len(cut.tile) == cut.counts.sum() <= most_parts(len(tokens), hands)
    assert sorted(cut.order.tolist()) == [*range(len(cut.tile))]
    for tile, count in enumerate(tokens):
        mine = np.flatnonzero(cut.tile == tile)
        assert len(mine) == cut.counts[tile]
        assert (np.diff(mine) == 1).all(), "parts of a tile do not lie side by side"
        covered = [*zip(cut.starts[mine], cut.stops[mine], strict=True)]
        assert [start for start, _ in covered] == [0, *(stop for _, stop in covered[:-1])]
        assert covered[-1][1] == count
        assert all(stop > start for start, stop in covered)


@given(tokens=LENGTHS, hands=st.integers(1, 140))
def test_parts_are_dealt_evenly(tokens, hands):
    order = dealt(np.array(tokens, dtype=np.int64), hands)
    found = loads(tokens, order, hands)
    assert sorted(order.tolist()) == [*range(len(tokens))]
    assert max(found) - min(found) <= max(tokens, default=0)


@pytest.mark.parametrize("rows", [22, 48, 64, 96, 130, 256, 700])
@pytest.mark.parametrize("hands", [66, 99, 132])
def test_the_longest_hand_is_near_its_fair_share_whatever_the_number_of_rows(rows, hands):
    """As many rows as hands is the hard case: one whole cache each is as slow as the longest of them."""
    tokens = np.clip(np.random.default_rng(rows).lognormal(6.9, 0.8, rows), 50, 6000).astype(np.int64)
    cut = best_cut(tokens, hands)
    found = loads((cut.stops - cut.starts).tolist(), cut.order, hands)
    assert max(found) <= 1.3 * tokens.sum() / hands + 64
