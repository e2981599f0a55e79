"""Runs the scheduler's plans on an engine: moves memory as they say, lays out their steps, launches them.

It decides nothing. What it adds to a plan is what only an executor knows: where things lie, which tokens were drawn,
and which request has made its last one.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ..csrc import StepPlan
from .engine import Engine
from .ledger import Ledger
from .seats import Seats, TokenLog
from .step_layout import Piece, Seated, StepLayout, Work


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
        prompt_tokens, outputs: of each request; prompts are written to `log` before they are computed.
        seed: of drawn tokens, if any are drawn.
        padded: whether batches are static: padded to the longest, held until the last row ends.
    """

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        prompt_tokens: npt.NDArray[np.int64],
        outputs: npt.NDArray[np.int64],
        *,
        seed: int = 0,
        padded: bool = False,
    ) -> None:
        self._engine, self._ledger, self._pool = engine, ledger, engine.pool
        self.log = TokenLog(prompt_tokens, outputs)
        self.seats = Seats(engine.extent.seats, self.log, outputs)
        self._layout = StepLayout(engine, self.seats, self.log, seed)
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
        return Work(self.seats.rows(plan.decode), sorted(pieces, key=_place))

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
        step = self._layout.arrange(work)
        if self._engine.graphs.find(step.shape) is not None:
            return self._layout.launch(step), self._ledger.held_bytes()
        return self._ledger.watch(lambda: self._layout.launch(step), plan)


def _place(piece: Piece) -> tuple[bool, int]:
    """Where a piece lies in a step: chunks that continue a cache before fresh prompts, and those by length."""
    return piece.start == 0, 0 if piece.start else piece.tokens
