"""Runs the scheduler's plans on an engine: moves memory as they say, launches their steps.

It decides nothing, and what a step consists of is the core's to know (`StepBuilder`); what is done here needs torch.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ..csrc import StepBuilder, StepPlan
from .engine import Engine
from .ledger import Ledger
from .step_layout import arrange, launcher
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
        ledger: Ledger,
        prompt_tokens: npt.NDArray[np.int64],
        outputs: npt.NDArray[np.int64],
        *,
        seed: int = 0,
        padded: bool = False,
    ) -> None:
        self._engine, self._ledger = engine, ledger
        self.log = TokenLog(prompt_tokens, outputs)
        self._builder = StepBuilder(
            log=self.log.tokens,
            starts=self.log.starts,
            prompt_tokens=self.log.prompt_tokens,
            ends=self.log.ends,
            book=engine.pool.book,
            seed=seed,
            padded=padded,
        )

    def apply(self, plan: StepPlan) -> None:
        """Evicted and failed requests give their memory back, admitted ones take their seats."""
        self._engine.pool.copy_out(self._builder.apply(plan))

    def launch(self, plan: StepPlan) -> Launched:
        """Launch the plan's first step, and count it as done: the device works through steps in order.

        Raises OutOfVram; no token was counted then. Blocks that were taken for it stay with their requests.
        """
        self._ledger.make_room(self._builder.prepare(plan))
        self._engine.pool.copy_in(self._builder.hold())
        tokens, peak_bytes = self._run(plan)
        draws = self._builder.launched()
        return Launched(tokens, draws.requests, draws.places, draws.finished, peak_bytes)

    def _run(self, plan: StepPlan) -> tuple[torch.Tensor, int]:
        step = arrange(self._engine, self._builder.extent)
        launch = launcher(self._engine, self._builder, step)
        return (launch(), self._ledger.held_bytes()) if step.captured else self._ledger.watch(launch, plan)

    def retire(self, finished: list[int]) -> None:
        """Requests that ended leave; those of a static batch stay until all of it has."""
        self._builder.retire(finished)

    def generated(self, request: int) -> int:
        """How many tokens a running request has made."""
        return self._builder.generated(request)
