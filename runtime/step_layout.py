"""Lays out a step: which captured shape it fits into, or which it has; the core writes the numbers of its slab."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from ..csrc import SlabWriter
from .engine import Engine
from .inputs import Chunk, Filling, Shape
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
        self._engine, self._seats = engine, seats
        self._writer = SlabWriter(
            log=log.tokens,
            starts=log.starts,
            seat_request=seats.request,
            seat_tokens=seats.tokens,
            seat_cached=seats.cached,
            tables=engine.pool.tables,
            block_tokens=engine.pool.block_tokens,
            spare_seat=engine.spare_seat,
            seed=seed,
        )

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
        layout, slab = self._engine.begin(step.shape)
        pieces = [
            (piece.request, piece.seat, piece.start, piece.tokens, piece.padding, piece.last)
            for piece in (*step.continued, *step.fresh)
        ]
        table = np.array(pieces, dtype=np.int64).reshape(-1, 6)
        self._writer.write(slab, step.shape.to_core(), step.rows, table, len(step.continued))
        chunks = [Chunk(piece.start, piece.tokens) for piece in step.continued]
        lengths = self._seats.cached[step.rows] + 1
        self._engine.model.attention.fill(layout.arrays(slab), step.shape, lengths, chunks)
        return self._engine.run(layout, step.filling)
