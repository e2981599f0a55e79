"""The KV layouts against plain models of themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from warpgroup.csrc import ExtentKv, PaddedKv, PagedKv

BLOCKS, BLOCK = 20, 16
CAPACITY, TOKEN = 1000, 24
IDS = st.integers(0, 12)
TOKENS = st.integers(1, 120)


class Paged(RuleBasedStateMachine):
    """Every block belongs to nobody or to one request, and a request has exactly as many as it needs."""

    def __init__(self) -> None:
        super().__init__()
        self.kv = PagedKv(BLOCKS, BLOCK)
        self.blocks = BLOCKS
        self.tokens: dict[int, int] = {}

    def free(self) -> int:
        return self.blocks - sum(-(-tokens // BLOCK) for tokens in self.tokens.values())

    @rule(id=IDS, tokens=TOKENS)
    def allocate(self, id, tokens):
        if id in self.tokens:
            with pytest.raises(ValueError, match="here already"):
                self.kv.allocate(id, tokens)
            return
        fits = -(-tokens // BLOCK) <= self.free()
        assert self.kv.allocate(id, tokens) == fits
        if fits:
            self.tokens[id] = tokens

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), more=st.integers(0, 60))
    def grow(self, data, more):
        id = data.draw(st.sampled_from(sorted(self.tokens)))
        before, after = self.tokens[id], self.tokens[id] + more
        fits = -(-after // BLOCK) - -(-before // BLOCK) <= self.free()
        table = self.kv.block_table(id).tolist()
        assert self.kv.grow(id, after) == fits
        if fits:
            self.tokens[id] = after
        assert self.kv.block_table(id).tolist()[: len(table)] == table

    @rule(id=IDS)
    def release(self, id):
        if self.tokens.pop(id, None) is None:
            with pytest.raises(ValueError, match="holds nothing"):
                self.kv.free(id)
        else:
            self.kv.free(id)

    @rule(blocks=st.integers(1, 2 * BLOCKS))
    def resize(self, blocks):
        held = self.blocks - self.free()
        if blocks < held:
            with pytest.raises(ValueError, match=f"cannot shrink to {blocks} blocks, {held} are held"):
                self.kv.resize(blocks)
            return
        before = {id: self.kv.block_table(id).tolist() for id in self.tokens}
        moves = dict(self.kv.resize(blocks))
        self.blocks = blocks
        assert not set(moves) & set(moves.values())
        for id, table in before.items():
            assert self.kv.block_table(id).tolist() == [moves.get(block, block) for block in table]

    @invariant()
    def blocks_are_conserved(self):
        tables = [self.kv.block_table(id).tolist() for id in self.tokens]
        held = [block for table in tables for block in table]
        assert len(held) == len(set(held))
        assert all(0 <= block < self.blocks for block in held)
        assert [len(t) for t in tables] == [-(-n // BLOCK) for n in self.tokens.values()]
        assert self.kv.free_blocks == self.free()
        assert self.kv.filled_tokens == sum(self.tokens.values())
        waste = self.kv.held_tokens - self.kv.filled_tokens
        assert self.kv.fragmentation == pytest.approx(waste / self.kv.held_tokens if self.tokens else 0)


class Extents(RuleBasedStateMachine):
    """No two ranges overlap, all are aligned, and a request is refused only if no gap could hold it."""

    def __init__(self) -> None:
        super().__init__()
        self.kv = ExtentKv(CAPACITY, TOKEN)
        self.bytes: dict[int, int] = {}

    def gaps(self) -> list[tuple[int, int]]:
        end, gaps = 0, []
        for start, size in sorted((self.kv.offset(id), size) for id, size in self.bytes.items()):
            assert start >= end
            gaps.append((end, start - end))
            end = start + size
        gaps.append((end, CAPACITY // 16 * 16 - end))
        return [gap for gap in gaps if gap[1]]

    @rule(id=IDS, tokens=st.integers(1, 12))
    def allocate(self, id, tokens):
        if id in self.bytes:
            return
        size = -(-tokens * TOKEN // 16) * 16
        first = next((start for start, gap in self.gaps() if gap >= size), None)
        assert self.kv.allocate(id, tokens) == (first is not None)
        if first is not None:
            self.bytes[id] = size
            assert self.kv.offset(id) == first

    @precondition(lambda self: self.bytes)
    @rule(data=st.data(), tokens=st.integers(12, 20))
    def grow(self, data, tokens):
        id = data.draw(st.sampled_from(sorted(self.bytes)))
        size = -(-tokens * TOKEN // 16) * 16
        if size < self.bytes[id]:
            with pytest.raises(ValueError, match="cannot shrink"):
                self.kv.grow(id, tokens)
            return
        behind = dict(self.gaps()).get(self.kv.offset(id) + self.bytes[id], 0)
        fits = size - self.bytes[id] <= behind
        assert self.kv.grow(id, tokens) == fits
        if fits:
            self.bytes[id] = size

    @rule(id=IDS)
    def release(self, id):
        if self.bytes.pop(id, None) is not None:
            self.kv.free(id)

    @invariant()
    def bytes_are_conserved(self):
        gaps = [size for _, size in self.gaps()]
        assert all(self.kv.offset(id) % 16 == 0 for id in self.bytes)
        assert self.kv.free_bytes == sum(gaps)
        assert self.kv.largest_gap_bytes == max(gaps, default=0)
        assert self.kv.fragmentation == pytest.approx(1 - max(gaps) / sum(gaps) if gaps else 0)


TestPaged = Paged.TestCase
TestExtents = Extents.TestCase


@given(rows=st.lists(st.integers(1, 50), min_size=1, max_size=8), growth=st.integers(0, 30), data=st.data())
def test_a_padded_batch_is_as_long_as_its_longest_row_ever_was(rows, growth, data):
    kv = PaddedKv(rows)
    row = data.draw(st.integers(0, len(rows) - 1))
    kv.grow(row, rows[row] + growth)
    rows[row] += growth
    assert kv.held_tokens == len(rows) * max(rows)
    assert kv.filled_tokens == sum(rows)
    kv.free(row)
    assert kv.held_tokens == len(rows) * max(rows)
    assert kv.filled_tokens == sum(rows) - rows[row]
    with pytest.raises(ValueError, match="holds nothing"):
        kv.free(row)
