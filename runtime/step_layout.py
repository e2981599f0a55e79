"""Lays out a step: which captured shape it fits into, or which it has, and every number of its slab."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from .engine import Engine
from .inputs import Chunk, Filling, Integers, Shape
from .seats import Seats, TokenLog

Seated = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Piece:
    """Prompt tokens of one request that a step computes."""

    request: int
    seat: int
    start: int
    tokens: int
    padding: int  # positions computed behind them that belong to nobody
    last: bool  # a token is drawn


@dataclass(slots=True)
class Work:
    """A plan as rows and pieces."""

    rows: Seated
    pieces: list[Piece] = field(default_factory=list)

    @property
    def fresh(self) -> list[Piece]:
        """Prompts from their first token on."""
        return [piece for piece in self.pieces if piece.start == 0]

    @property
    def continued(self) -> list[Piece]:
        """Chunks that continue a cache."""
        return [piece for piece in self.pieces if piece.start > 0]


@dataclass(frozen=True, slots=True)
class Arranged:
    """A step as it will be laid out."""

    rows: Seated
    continued: list[Piece]
    fresh: list[Piece]
    shape: Shape
    filling: Filling


class StepLayout:
    """Writes steps into an engine's slabs, from where requests sit and what each has said so far.

    Args:
        seed: of drawn tokens.
    """

    def __init__(self, engine: Engine, seats: Seats, log: TokenLog, seed: int) -> None:
        self._engine, self._seats, self._log, self._seed = engine, seats, log, seed

    def arrange(self, work: Work) -> Arranged:
        """In the smallest captured shape that it fits into, where every prompt continues a cache, if only an empty one;
        else in a shape of its own.
        """
        shape = self._captured_shape(work)
        if shape is not None:
            return Arranged(work.rows, work.pieces, [], shape, Filling())
        continued, fresh = work.continued, work.fresh
        shape = Shape(
            rows=len(work.rows),
            chunks=len(continued),
            chunk_tokens=sum(piece.tokens for piece in continued),
            prompts=len(fresh),
            prompt_tokens=sum(piece.tokens + piece.padding for piece in fresh),
            sampled=len(work.rows) + sum(piece.last for piece in work.pieces),
            width=self._engine.pool.tables.shape[1],
        )
        filling = Filling(
            longest_chunk=max((piece.tokens for piece in continued), default=0),
            longest_cache=max((piece.start + piece.tokens for piece in continued), default=1),
            cached=sum(piece.start + piece.tokens for piece in continued),
            prompts=tuple(piece.tokens + piece.padding for piece in fresh),
        )
        return Arranged(work.rows, continued, fresh, shape, filling)

    def _captured_shape(self, work: Work) -> Shape | None:
        if any(piece.padding for piece in work.pieces):
            return None
        cached = [int(self._seats.cached[work.rows].max(initial=0)) + 1]
        longest = max(cached + [piece.start + piece.tokens for piece in work.pieces])
        width = -(-longest // self._engine.pool.block_tokens)
        tokens = sum(piece.tokens for piece in work.pieces)
        return self._engine.graphs.fitting(len(work.rows), len(work.pieces), tokens, width)

    def launch(self, step: Arranged) -> torch.Tensor:
        """Lay out the step as things lie now, and launch it; the tokens that it will draw."""
        pieces = [*step.continued, *step.fresh]
        layout, slab = self._engine.begin(step.shape)
        self._fill_tokens(slab, step.rows, step.shape.rows, pieces)
        self._fill_tables(slab, step.rows, step.continued, step.shape)
        self._fill_draws(slab, step.rows, step.shape.rows, pieces)
        chunks = [Chunk(piece.start, piece.tokens) for piece in step.continued]
        self._engine.model.attention.fill(slab, step.shape, self._seats.cached[step.rows] + 1, chunks)
        if step.fresh:
            slab["prompt_edges"][:] = _edges([piece.tokens + piece.padding for piece in step.fresh])
        return self._engine.run(layout, step.filling)

    def _fill_tokens(self, slab: dict[str, Integers], rows: Seated, filled: int, pieces: list[Piece]) -> None:
        """Ids, positions and slots of every token."""
        ids, positions, slots = slab["ids"], slab["positions"], slab["slots"]
        block, tables = self._engine.pool.block_tokens, self._engine.pool.tables
        count = len(rows)
        at = self._seats.cached[rows]
        ids[:count] = -1 - rows
        positions[:count] = at
        slots[:count] = tables[rows, at // block] * block + at % block
        token = self._spare(ids, positions, slots, count, filled)
        for piece in pieces:
            end = token + piece.tokens + piece.padding
            first = self._log.starts[piece.request] + piece.start
            ids[token : token + piece.tokens] = self._log.tokens[first : first + piece.tokens]
            ids[token + piece.tokens : end] = 0
            at = np.arange(piece.start, piece.start + end - token)
            positions[token:end] = at
            slots[token:end] = tables[piece.seat, at // block] * block + at % block
            token = end
        self._spare(ids, positions, slots, token, len(ids))

    @staticmethod
    def _spare(ids: Integers, positions: Integers, slots: Integers, start: int, end: int) -> int:
        """Tokens that only fill a graph: any id, stored nowhere."""
        ids[start:end] = positions[start:end] = 0
        slots[start:end] = -1
        return end

    def _fill_tables(self, slab: dict[str, Integers], rows: Seated, continued: list[Piece], shape: Shape) -> None:
        """Cache lengths and block tables."""
        tables = self._engine.pool.tables
        lengths, blocks = slab["lengths"], slab["blocks"].reshape(shape.rows, shape.width)
        lengths[: len(rows)] = self._seats.cached[rows] + 1
        lengths[len(rows) :] = 0
        blocks[: len(rows)] = tables[rows, : shape.width]
        if not shape.chunks:
            return
        none = [0] * (shape.chunks - len(continued))
        slab["chunk_edges"][:] = _edges([*(piece.tokens for piece in continued), *none])
        slab["cache_edges"][:] = _edges([*(piece.start + piece.tokens for piece in continued), *none])
        blocks = slab["chunk_blocks"].reshape(shape.chunks, shape.width)
        for place, piece in enumerate(continued):
            blocks[place] = tables[piece.seat, : shape.width]

    def _fill_draws(self, slab: dict[str, Integers], rows: Seated, filled: int, pieces: list[Piece]) -> None:
        """Which tokens' logits are wanted, and for whom: all rows, then the pieces that are the last of a prompt."""
        tokens, seats, seeds = slab["sampled_tokens"], slab["sampled_seats"], slab["seeds"]
        count = len(rows)
        tokens[:count] = np.arange(count)
        seats[:count] = rows
        token = filled
        for piece in pieces:
            if piece.last:
                tokens[count], seats[count] = token + piece.tokens - 1, piece.seat
                count += 1
            token += piece.tokens + piece.padding
        tokens[count:], seats[count:] = 0, self._engine.spare_seat
        drawn = seats[:count]
        seeds[:count] = _seeds(self._seed, self._seats.request[drawn], self._seats.tokens[drawn])
        seeds[count:] = 0


def _edges(lengths: list[int]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]) if lengths else np.zeros(1, dtype=np.int64)


def _seeds(seed: int, requests: Seated, tokens: Seated) -> npt.NDArray[np.int64]:
    """One seed for each token of each request, however often and in whatever batch it is drawn."""
    salt = seed * 0xC2B2AE3D & 0xFFFFFFFF  # Python's integers have no bounds, NumPy's do
    mixed = (requests + 1) * 0x9E3779B1 + tokens * 0x85EBCA77 + salt
    return (mixed ^ (mixed >> 15)) & 0x7FFFFFFF
