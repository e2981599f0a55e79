"""Carries out the scheduler's plans on an engine: copies caches to and from the host, and launches steps.

It decides nothing. The core's `StepBuilder` knows what a step consists of; this module does the part that needs torch.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from ...csrc import Policy, StagedStep, StepBuilder, StepStager
from ...experiment import Experiment
from ..memory.kv_pool import OutOfVram
from ..memory.vram_cap import VramCap
from ..step.inputs import PrefillChunk, Shape, StepLengths
from .engine import Engine
from .token_log import TokenLog


@dataclass(frozen=True, slots=True)
class Launched:
    """A step that was launched.

    Attributes:
        tokens: (sampled rows,) int32: the tokens that it draws, for `requests` in order, then for rows that only pad a
            graph.
        requests: (tokens,): ids.
        log_places: (tokens,): where each token belongs in the log.
        finished: requests that draw their last token in this step.
        peak_bytes: the most that the process held during the step, without KV blocks that no request holds.
    """

    tokens: torch.Tensor
    requests: npt.NDArray[np.int64]
    log_places: npt.NDArray[np.int64]
    finished: list[int]
    peak_bytes: int


class Executor:
    """The requests of one run on an engine.

    Args:
        prompt_tokens, outputs: (requests,): lengths. A prompt is written to `log` before it is computed.
        seed: of drawn tokens, if the temperature is above 0.
        padded: whether batches are static: padded to their longest request, and held until it ends.
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
        self._engine, self.vram_cap = engine, vram_cap
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

    @classmethod
    def for_run(cls, engine: Engine, experiment: Experiment, policy: Policy, *, fixed_bytes: int) -> Self:
        """The executor of one run under a policy, with a VRAM cap, and with host memory if the policy swaps.

        Args:
            fixed_bytes: what the process holds before the first step.

        Raises:
            OverBudget: the host cannot pin the memory that the policy wants to swap to.
        """
        trace, memory = experiment.trace, experiment.memory
        vram_cap = VramCap(
            engine.machine,
            engine.pool,
            memory,
            cap_bytes=memory.budget_bytes,
            fixed_bytes=fixed_bytes,
            blind=not policy.sees_memory,
        )
        engine.pool.open_host(policy.swap_bytes)
        return cls(
            engine,
            vram_cap,
            trace.prompt_tokens,
            trace.output_tokens,
            seed=experiment.seed,
            padded=policy.is_padded,
        )

    @cached_property
    def stager(self) -> StepStager:
        """Prepares plans as far as that needs no device; used by the thread that makes the plans."""
        captured = [shape.to_core() for shape in self._engine.graphs.captured()]
        return StepStager(self._builder, width=self._engine.extent.width, captured=captured)

    def apply_limit(self) -> None:
        """Let plans from now on hold only as many blocks as the VRAM cap allows now."""
        self._builder.limit_blocks(self.vram_cap.pool_blocks)

    def rest(self, step: StagedStep) -> None:
        """Carry out a plan without a step: copy caches to the host."""
        self._engine.pool.copy_out(step.to_host)
        self.vram_cap.trim()

    def launch(self, step: StagedStep) -> Launched:
        """Launch the first step of a plan, and count it as done, since the device runs steps in order.

        Raises:
            OutOfVram: nothing was counted. Blocks that were taken for the step stay with their requests.
        """
        pool = self._engine.pool
        pool.copy_out(step.to_host)
        pool.copy_in(step.to_device)
        moved = self.vram_cap.trim()
        if step.missing_blocks:
            try:
                self.vram_cap.make_room(self._builder.missing_blocks())
            except OutOfVram:
                pool.copy_in(self._builder.restore())  # their host memory is reserved for others
                raise
            pool.copy_in(self._builder.hold())
        launch = _Launch(self._engine, self._builder, step, written=step.written and not moved)
        if step.captured:
            tokens, peak_bytes = launch(), self.vram_cap.held_bytes()
        else:
            tokens, peak_bytes = self.vram_cap.watch(launch, step.plan)
        draws = self._builder.launched()
        return Launched(tokens, draws.requests, draws.places, draws.finished, peak_bytes)

    def pretend(self, step: StagedStep) -> list[int]:
        """Count the first step of a plan as done without computing it. Its caches keep their old content.

        Returns:
            The requests that finished.

        Raises:
            OutOfVram: there is no memory for its blocks.
        """
        if step.missing_blocks:
            self.vram_cap.make_room(self._builder.missing_blocks())
            self._builder.hold()
        return self._builder.launched().finished

    def retire(self, finished: list[int]) -> None:
        """Release the requests that ended; those of a static batch are released when all of them ended."""
        self._builder.retire(finished)

    def generated(self, request: int) -> int:
        """How many tokens a running request generated."""
        return self._builder.generated(request)


class _Launch:
    """Launches a staged step. A second call, when there was no memory for the first, writes the slab again."""

    def __init__(self, engine: Engine, builder: StepBuilder, step: StagedStep, *, written: bool) -> None:
        self._engine, self._builder, self._step = engine, builder, step
        self._shape = Shape.of_core(step.shape)
        self._written = written
        self._again = False

    def __call__(self) -> torch.Tensor:
        """The tokens that the step will draw."""
        engine, builder, step = self._engine, self._builder, self._step
        if self._again:
            engine.turn_slab()  # the device may not have read the slab of the first call yet
        staged = engine.slab_size
        layout, slab = engine.layout(self._shape)
        if self._again or not self._written or engine.slab_size > staged:
            builder.write(slab, step.shape, all_continue=step.captured)
        self._again = True
        chunks = [PrefillChunk(*chunk) for chunk in builder.chunks(all=step.captured)]
        engine.model.attention.fill(layout.arrays(slab), self._shape, builder.row_lengths(), chunks)
        return engine.run(layout, self._lengths())

    def _lengths(self) -> StepLengths:
        extent = self._builder.extent
        if self._step.captured:
            return StepLengths()
        return StepLengths(
            longest_chunk=extent.longest_chunk,
            longest_cache=max(extent.longest_cached, 1),
            cached=extent.cached_tokens,
            prompts=tuple(extent.prompts),
        )
