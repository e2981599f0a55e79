"""Runs the scheduler's plans on an engine: copies caches as they say, launches their steps.

It decides nothing, and what a step consists of is the core's to know (`StepBuilder`); what is done here needs torch.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from ...csrc import StagedStep, StepBuilder, StepStager
from ..memory.kv_pool import OutOfVram
from ..memory.vram_cap import VramCap
from ..step.inputs import Chunk, Filling, Shape
from .engine import Engine
from .token_log import TokenLog


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
    requests: npt.NDArray[np.int64]
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
        vram_cap: VramCap,
        prompt_tokens: npt.NDArray[np.int64],
        outputs: npt.NDArray[np.int64],
        *,
        seed: int = 0,
        padded: bool = False,
    ) -> None:
        self._engine, self._vram_cap = engine, vram_cap
        self.log = TokenLog(prompt_tokens, outputs)
        self._builder = StepBuilder(
            log=self.log.tokens,
            starts=self.log.starts,
            prompt_tokens=self.log.prompt_tokens,
            ends=self.log.ends,
            block_manager=engine.pool.block_manager,
            seed=seed,
            padded=padded,
        )

    @cached_property
    def stager(self) -> StepStager:
        """Takes plans as far as they go without the device; for whoever makes them."""
        captured = [shape.to_core() for shape in self._engine.graphs.captured()]
        return StepStager(self._builder, width=self._engine.extent.width, captured=captured)

    def heed_limit(self) -> None:
        """Plans that are made from now on hold no more blocks than the vram_cap allows now."""
        self._builder.limit_blocks(self._vram_cap.pool_blocks)

    def rest(self, step: StagedStep) -> None:
        """Do what a plan without a step asks for: caches go to the host."""
        self._engine.pool.copy_out(step.to_host)
        self._vram_cap.trim()

    def launch(self, step: StagedStep) -> Launched:
        """Launch the plan's first step, and count it as done: the device works through steps in order.

        Raises OutOfVram; no token was counted then. Blocks that were taken for it stay with their requests.
        """
        pool = self._engine.pool
        pool.copy_out(step.to_host)
        pool.copy_in(step.to_device)
        moved = self._vram_cap.trim()
        if step.missing_blocks:
            try:
                self._vram_cap.make_room(self._builder.missing_blocks())
            except OutOfVram:
                pool.copy_in(self._builder.restore())  # the host's memory was promised to others
                raise
            pool.copy_in(self._builder.hold())
        launch = _Launch(self._engine, self._builder, step, written=step.written and not moved)
        if step.captured:
            tokens, peak_bytes = launch(), self._vram_cap.held_bytes()
        else:
            tokens, peak_bytes = self._vram_cap.watch(launch, step.plan)
        draws = self._builder.launched()
        return Launched(tokens, draws.requests, draws.places, draws.finished, peak_bytes)

    def pretend(self, step: StagedStep) -> list[int]:
        """Count the plan's first step as done without computing it: its caches hold whatever is there. Who finished.

        Raises OutOfVram.
        """
        if step.missing_blocks:
            self._vram_cap.make_room(self._builder.missing_blocks())
            self._builder.hold()
        return self._builder.launched().finished

    def retire(self, finished: list[int]) -> None:
        """Requests that ended leave; those of a static batch stay until all of it has."""
        self._builder.retire(finished)

    def generated(self, request: int) -> int:
        """How many tokens a running request has made."""
        return self._builder.generated(request)


class _Launch:
    """Launches a staged step; called again, when there was no memory for it, as things lie then."""

    def __init__(self, engine: Engine, builder: StepBuilder, step: StagedStep, *, written: bool) -> None:
        self._engine, self._builder, self._step = engine, builder, step
        self._shape = Shape.of_core(step.shape)
        self._written = written
        self._again = False

    def __call__(self) -> torch.Tensor:
        """The tokens that the step will draw."""
        engine, builder, step = self._engine, self._builder, self._step
        if self._again:
            engine.turn_slab()  # the device may not have read the one that it was given before
        staged = engine.slab_size
        layout, slab = engine.layout(self._shape)
        if self._again or not self._written or engine.slab_size > staged:
            builder.write(slab, step.shape, all_continue=step.captured)
        self._again = True
        chunks = [Chunk(*chunk) for chunk in builder.chunks(all=step.captured)]
        engine.model.attention.fill(layout.arrays(slab), self._shape, builder.row_lengths(), chunks)
        return engine.run(layout, self._filling())

    def _filling(self) -> Filling:
        extent = self._builder.extent
        if self._step.captured:
            return Filling()
        return Filling(
            longest_chunk=extent.longest_chunk,
            longest_cache=max(extent.longest_cached, 1),
            cached=extent.cached_tokens,
            prompts=tuple(extent.prompts),
        )
