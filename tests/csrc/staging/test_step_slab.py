"""The slab of a step, against a plain NumPy reference."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warpgroup.csrc import SlabShape, SlabWriter

SPARE, SEED = 99, 7


@dataclass
class Server:
    """Requests in seats, with caches in blocks anywhere and tokens in a log."""

    block_tokens: int
    log: np.ndarray
    starts: np.ndarray
    request: np.ndarray
    tokens: np.ndarray
    cached: np.ndarray
    tables: np.ndarray

    @classmethod
    def of(cls, rng: np.random.Generator, seats: int, longest: int, block_tokens: int) -> "Server":
        width = -(-longest // block_tokens)
        requests = rng.permutation(3 * seats)
        return cls(
            block_tokens,
            rng.integers(0, 50_000, 3 * seats * longest).astype(np.int32),
            np.arange(3 * seats, dtype=np.int64) * longest,
            requests[:seats].astype(np.int64),
            rng.integers(1, longest, seats).astype(np.int64),
            rng.integers(0, longest - 1, seats).astype(np.int64),
            rng.permutation(seats * width).astype(np.int32).reshape(seats, width),
        )

    def writer(self) -> SlabWriter:
        return SlabWriter(
            log=self.log,
            starts=self.starts,
            seat_request=self.request,
            seat_tokens=self.tokens,
            seat_cached=self.cached,
            tables=self.tables,
            block_tokens=self.block_tokens,
            spare_seat=SPARE,
            seed=SEED,
        )

    def slot(self, seat: int, position: int) -> int:
        return int(self.tables[seat, position // self.block_tokens]) * self.block_tokens + position % self.block_tokens

    def seed(self, seat: int) -> int:
        mixed = (int(self.request[seat]) + 1) * 0x9E3779B1 + int(self.tokens[seat]) * 0x85EBCA77
        mixed += SEED * 0xC2B2AE3D & 0xFFFFFFFF
        return (mixed ^ (mixed >> 15)) & 0x7FFFFFFF


def expected(server: Server, shape: tuple[int, ...], rows, pieces, continued) -> dict[str, list]:
    """One token after another, as the arrays' descriptions say. None: what is left over."""
    shape_rows, chunks, chunk_tokens, _, prompt_tokens, sampled, width = shape
    ids = [-1 - seat for seat in rows]
    positions = [int(server.cached[seat]) for seat in rows]
    slots = [server.slot(seat, int(server.cached[seat])) for seat in rows]
    draws = [(row, seat) for row, seat in enumerate(rows)]

    def fill(until: int) -> None:
        count = until - len(ids)
        ids.extend([0] * count)
        positions.extend([0] * count)
        slots.extend([-1] * count)

    fill(shape_rows)
    for request, seat, start, tokens, padding, last in pieces:
        first = server.starts[request] + start
        ids.extend([*server.log[first : first + tokens].tolist(), *[0] * padding])
        if last:
            draws.append((len(positions) + tokens - 1, seat))
        for position in range(start, start + tokens + padding):
            positions.append(position)
            slots.append(server.slot(seat, position))
    fill(shape_rows + chunk_tokens + prompt_tokens)

    def table(seat: int, tokens: int) -> list:
        used = -(-tokens // server.block_tokens)
        return [*server.tables[seat, :used].tolist(), *[None] * (width - used)]

    def edges(lengths: list[int], count: int) -> list[int]:
        return np.cumsum([0, *lengths, *[0] * (count - len(lengths))]).tolist()

    first, rest = pieces[:continued], pieces[continued:]
    return {
        "ids": ids,
        "positions": positions,
        "slots": slots,
        "lengths": [int(server.cached[seat]) + 1 for seat in rows] + [0] * (shape_rows - len(rows)),
        "blocks": [block for seat in rows for block in table(seat, int(server.cached[seat]) + 1)]
        + [None] * width * (shape_rows - len(rows)),
        "chunk_edges": edges([piece[3] for piece in first], chunks),
        "cache_edges": edges([piece[2] + piece[3] for piece in first], chunks),
        "chunk_blocks": [block for piece in first for block in table(piece[1], piece[2] + piece[3])]
        + [None] * width * (chunks - continued),
        "prompt_edges": edges([piece[3] + piece[4] for piece in rest], len(rest)),
        "sampled_tokens": [token for token, _ in draws] + [0] * (sampled - len(draws)),
        "sampled_seats": [seat for _, seat in draws] + [SPARE] * (sampled - len(draws)),
        "seeds": [server.seed(seat) for _, seat in draws] + [0] * (sampled - len(draws)),
    }


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(0, 6),
    chunks=st.integers(0, 3),
    prompts=st.integers(0, 3),
    filling=st.integers(0, 3),
    block_tokens=st.sampled_from([1, 3, 16]),
)
def test_every_number_is_where_the_reference_has_it(seed, rows, chunks, prompts, filling, block_tokens):
    rng = np.random.default_rng(seed)
    longest = 60
    server = Server.of(rng, 12, longest, block_tokens)
    seats = rng.permutation(12).tolist()
    pieces = []
    for place in range(chunks + prompts):
        seat = seats.pop()
        start = int(rng.integers(1, 30)) if place < chunks else 0
        tokens = int(rng.integers(1, 25))
        padding = int(rng.integers(0, 5)) if place >= chunks else 0
        pieces.append((int(server.request[seat]), seat, start, tokens, padding, bool(rng.integers(0, 2))))
    decoding = seats[:rows]
    drawn = rows + sum(piece[5] for piece in pieces)
    shape = (
        rows + filling,
        chunks + filling,
        sum(piece[3] for piece in pieces[:chunks]) + filling * 3,
        prompts,
        sum(piece[3] + piece[4] for piece in pieces[chunks:]),
        drawn + filling,
        server.tables.shape[1],
    )
    places = SlabShape(*shape).arrays()
    slab = np.full(places[-1][1] + places[-1][2] + 5, -1234, dtype=np.int32)
    table = np.array(pieces, dtype=np.int64).reshape(-1, 6)
    server.writer().write(slab, SlabShape(*shape), np.array(decoding, dtype=np.int64), table, chunks)
    wanted = expected(server, shape, decoding, pieces, chunks)
    end = 0
    for name, start, count in places:
        assert start % 16 == 0
        assert start >= end
        end = start + count
        found = slab[start:end].tolist()
        assert len(wanted[name]) == count, name
        assert [got for got, want in zip(found, wanted[name], strict=True) if want is not None] == [
            want for want in wanted[name] if want is not None
        ], name
    assert (slab[end:] == -1234).all(), "written beyond the shape"


@pytest.mark.parametrize(
    ("shape", "rows", "pieces", "continued", "message"),
    [
        ((1, 0, 0, 0, 0, 1, 4), [0, 1], [], 0, "the step is larger than the shape"),
        ((1, 0, 0, 0, 0, 0, 4), [0], [], 0, "the step is larger than the shape"),
        ((0, 0, 0, 1, 5, 1, 4), [], [(0, 0, 0, 6, 0, 1)], 0, "the step is larger than the shape"),
        ((0, 0, 0, 0, 5, 1, 4), [], [(0, 0, 0, 5, 0, 1)], 0, "the step is larger than the shape"),
        ((0, 0, 5, 0, 0, 1, 4), [], [(0, 0, 1, 5, 0, 1)], 1, "the step is larger than the shape"),
        ((1, 0, 0, 0, 0, 1, 4), [12], [], 0, "a seat is out of range"),
        ((9999, 0, 0, 0, 0, 9999, 4), [0], [], 0, "the slab is smaller than the shape"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(shape, rows, pieces, continued, message):
    server = Server.of(np.random.default_rng(0), 12, 60, 16)
    slab = np.full(500, -1234, dtype=np.int32)
    table = np.array(pieces, dtype=np.int64).reshape(-1, 6)
    with pytest.raises(ValueError, match=message):
        server.writer().write(slab, SlabShape(*shape), np.array(rows, dtype=np.int64), table, continued)
    assert (slab == -1234).all()


def test_arrays_by_seat_are_of_one_length():
    server = Server.of(np.random.default_rng(0), 12, 60, 16)
    server.cached = server.cached[:5]
    with pytest.raises(ValueError, match="must have one entry for each seat"):
        server.writer()
