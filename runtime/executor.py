"""Runs the scheduler's plans on an engine: moves memory as they say, lays out their steps, launches them.

It decides nothing. What it adds to a plan is what only an executor knows: where things lie, which tokens were drawn,
and which request has made its last one.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from ..csrc import StepPlan
from .engine import Engine
from .inputs import Chunk, Filling, Integers, Shape
from .ledger import Ledger
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
class Launched:
    """A step that is under way.

    Attributes:
        tokens: what it draws; behind those of `requests`, rows that only fill a graph.
        requests: for whom, in order.
        log_places: where each token belongs in the log.
        finished: requests that make their last token in it.
        peak_bytes: the most that the process held during it, KV blocks that nobody holds left out.
    """

    tokens: torch.Tensor
    requests: Seated
    log_places: npt.NDArray[np.int64]
    finished: list[int]
    peak_bytes: int


class Executor:
    """One run's requests on an engine.

    Args:
        outputs: how many tokens each request makes.
        seed: of drawn tokens, if any are drawn.
        padded: whether batches are static: padded to the longest, held until the last row ends.
    """

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        prompts: list[Integers],
        outputs: npt.NDArray[np.int64],
        *,
        seed: int = 0,
        padded: bool = False,
    ) -> None:
        self._engine, self._ledger, self._pool = engine, ledger, engine.pool
        self.log = TokenLog(prompts, outputs)
        self.seats = Seats(engine.extent.seats, self.log, outputs)
        self._seed = seed
        self._padded = padded
        self._owed: set[int] = set()  # requests whose caches the plan wants back from the host
        self._batch: list[int] = []  # requests of the static batch
        self._batch_tokens = 0  # its padded length

    def apply(self, plan: StepPlan) -> None:
        """Move memory as the plan says: evicted and failed requests give theirs back, swapped ones get theirs again.

        Raises OutOfVram.
        """
        for evicted in plan.evicted:
            if not evicted.swapped_bytes:
                self._pool.forget_host(evicted.id)
            elif not self._pool.host_tokens(evicted.id):
                self._pool.swap_out(evicted.id, int(self.seats.cached[self.seats.of(evicted.id)]))
            self._owed.discard(evicted.id)
            self._drop(evicted.id, lost_generated=evicted.lost_generated > 0)
        for failed in plan.failed:
            self._drop(failed.id)
            self._owed.discard(failed.id)
            self._pool.forget_host(failed.id)
        if self._padded and (plan.prefill or plan.horizon == 0):
            for request in self._batch:  # it has ended, or ran out of memory
                self._drop(request)
            self._batch = []
        for request in plan.admitted:
            self.seats.take(request)
        self._owed.update(restored.id for restored in plan.restored)
        for request in sorted(self._owed):
            self._restore(request)

    def _restore(self, request: int) -> None:
        seat, tokens = self.seats.of(request), self._pool.host_tokens(request)
        self._ledger.within(lambda: self._pool.swap_in(request, seat))
        self.seats.cached[seat] = tokens
        self._owed.discard(request)

    def _drop(self, request: int, *, lost_generated: bool = False) -> None:
        self._pool.release(request)
        self.seats.leave(request, lost_generated=lost_generated)

    def launch(self, plan: StepPlan) -> Launched:
        """Launch the plan's first step, and count it as done: the device works through steps in order.

        Raises OutOfVram; no token was counted then. Blocks that were taken for it stay with their requests.
        """
        work = self._padded_work(plan) if self._padded else self._work(plan)
        self._hold(work)
        tokens, peak_bytes = self._run(work, plan)
        drawing = self._drawing(work)
        places = self.seats.log_places(drawing)
        self.seats.cached[work.rows] += 1
        for piece in work.pieces:
            self.seats.cached[piece.seat] += piece.tokens
        self.seats.tokens[drawing] += 1
        return Launched(tokens, self.seats.request[drawing], places, self.seats.ended(drawing), peak_bytes)

    def _work(self, plan: StepPlan) -> Work:
        joining = {joined.id for joined in plan.joined}
        pieces = [
            Piece(chunk.id, self.seats.of(chunk.id), chunk.start, chunk.tokens, 0, chunk.id in joining)
            for chunk in plan.prefill
        ]
        # Continued chunks lie before fresh prompts, wherever the plan has them.
        return Work(self.seats.rows(plan.decode), sorted(pieces, key=lambda piece: piece.start == 0))

    def _padded_work(self, plan: StepPlan) -> Work:
        """All rows of the batch take part, those that have ended too."""
        if not plan.prefill:
            self._batch_tokens += 1
            return Work(self.seats.rows(self._batch))
        self._batch = [chunk.id for chunk in plan.prefill]
        self._batch_tokens = max(chunk.tokens for chunk in plan.prefill)
        none = np.zeros(0, dtype=np.int64)
        return Work(
            none,
            [
                Piece(chunk.id, self.seats.of(chunk.id), 0, chunk.tokens, self._batch_tokens - chunk.tokens, True)
                for chunk in plan.prefill
            ],
        )

    def _hold(self, work: Work) -> None:
        """Have blocks for every token that the step stores."""
        block = self._pool.block_tokens
        if self._padded:
            if work.pieces or self._batch_tokens % block == 1 or block == 1:
                for request in self._batch:
                    self._grow(request, self.seats.of(request), self._batch_tokens)
            return
        rows = work.rows
        for seat in rows[self.seats.cached[rows] % block == 0].tolist():
            self._grow(int(self.seats.request[seat]), seat, int(self.seats.cached[seat]) + 1)
        for piece in work.pieces:
            self._grow(piece.request, piece.seat, piece.start + piece.tokens)

    def _grow(self, request: int, seat: int, tokens: int) -> None:
        self._ledger.within(lambda: self._pool.hold(request, seat, tokens))

    def _drawing(self, work: Work) -> Seated:
        """The seats that draw a token, in the order in which the step draws them."""
        joining = [piece.seat for piece in work.pieces if piece.last]
        return np.concatenate([work.rows, np.array(joining, dtype=np.int64)]) if joining else work.rows

    def retire(self, finished: list[int]) -> None:
        """Requests that ended leave; those of a static batch stay until all of it has."""
        if not self._padded:
            for request in finished:
                self._drop(request)

    def _run(self, work: Work, plan: StepPlan) -> tuple[torch.Tensor, int]:
        block = self._pool.block_tokens
        longest = int(self.seats.cached[work.rows].max(initial=0)) + 1
        longest = max([longest, *(piece.start + piece.tokens for piece in work.pieces)])
        width = -(-longest // block)
        total = sum(piece.tokens for piece in work.pieces)
        padding = any(piece.padding for piece in work.pieces)
        shape = None
        if not padding:
            shape = self._engine.graphs.fitting(len(work.rows), len(work.pieces), total, width)
        if shape is not None:
            continued, fresh = work.pieces, []
            filling = Filling()
        else:
            continued, fresh = work.continued, work.fresh
            width = self._pool.tables.shape[1]
            shape = self._exact_shape(work, continued, fresh, width)
            filling = Filling(
                longest_chunk=max((piece.tokens for piece in continued), default=0),
                longest_cache=max((piece.start + piece.tokens for piece in continued), default=1),
                cached=sum(piece.start + piece.tokens for piece in continued),
                longest_prompt=max((piece.tokens + piece.padding for piece in fresh), default=0),
            )
        if self._engine.graphs.find(shape) is not None:
            return self._launch(work.rows, continued, fresh, shape, filling), self._ledger.held_bytes()
        return self._ledger.watch(lambda: self._launch(work.rows, continued, fresh, shape, filling), plan)

    def _launch(
        self, rows: Seated, continued: list[Piece], fresh: list[Piece], shape: Shape, filling: Filling
    ) -> torch.Tensor:
        """Lay out the step as things lie now, and launch it."""
        layout, slab = self._engine.begin(shape)
        self._fill_tokens(slab, rows, shape.rows, [*continued, *fresh])
        self._fill_tables(slab, rows, continued, shape)
        self._fill_draws(slab, rows, shape.rows, [*continued, *fresh])
        chunks = [Chunk(piece.start, piece.tokens) for piece in continued]
        self._engine.model.attention.fill(slab, shape, self.seats.cached[rows] + 1, chunks)
        if fresh:
            slab["prompt_edges"][:] = _edges([piece.tokens + piece.padding for piece in fresh])
        return self._engine.run(layout, filling)

    def _exact_shape(self, work: Work, continued: list[Piece], fresh: list[Piece], width: int) -> Shape:
        return Shape(
            rows=len(work.rows),
            chunks=len(continued),
            chunk_tokens=sum(piece.tokens for piece in continued),
            prompts=len(fresh),
            prompt_tokens=sum(piece.tokens + piece.padding for piece in fresh),
            sampled=len(work.rows) + sum(piece.last for piece in work.pieces),
            width=width,
        )

    def _fill_tokens(self, slab: dict[str, Integers], rows: Seated, filled: int, pieces: list[Piece]) -> None:
        """Ids, positions and slots of every token."""
        ids, positions, slots = slab["ids"], slab["positions"], slab["slots"]
        block, tables = self._pool.block_tokens, self._pool.tables
        count = len(rows)
        at = self.seats.cached[rows]
        ids[:count] = -1 - rows
        positions[:count] = at
        slots[:count] = tables[rows, at // block] * block + at % block
        token = self._spare(ids, positions, slots, count, filled)
        for piece in pieces:
            end = token + piece.tokens + piece.padding
            first = self.log.starts[piece.request] + piece.start
            ids[token : token + piece.tokens] = self.log.tokens[first : first + piece.tokens]
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
        tables = self._pool.tables
        lengths, blocks = slab["lengths"], slab["blocks"].reshape(shape.rows, shape.width)
        lengths[: len(rows)] = self.seats.cached[rows] + 1
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
        seeds[:count] = _seeds(self._seed, self.seats.request[drawn], self.seats.tokens[drawn])
        seeds[count:] = 0


def _edges(lengths: list[int]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]) if lengths else np.zeros(1, dtype=np.int64)


def _seeds(seed: int, requests: Seated, tokens: Seated) -> npt.NDArray[np.int64]:
    """One seed for each token of each request, however often and in whatever batch it is drawn."""
    salt = seed * 0xC2B2AE3D & 0xFFFFFFFF  # Python's integers have no bounds, NumPy's do
    mixed = (requests + 1) * 0x9E3779B1 + tokens * 0x85EBCA77 + salt
    return (mixed ^ (mixed >> 15)) & 0x7FFFFFFF
