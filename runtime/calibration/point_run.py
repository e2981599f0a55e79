"""Runs the steps of one point of the grid under the real scheduler, as in a replay."""

from collections.abc import Iterator

import numpy as np

from ...csrc import PolicySpec, Scheduler, StagedStep, StepPlan
from ..engine.executor import Executor
from ..memory.vram_cap import VramCap
from ..replay.clock import Clock, Mark
from ..replay.session import Session
from .step_grid import GridPoint, different_lengths


class PointRun:
    """The requests of one point, under a scheduler of their own."""

    def __init__(
        self, session: Session, vram_cap: VramCap, policy: PolicySpec, point: GridPoint, rng: np.random.Generator
    ) -> None:
        self._engine, self._point = session.engine, point
        experiment = session.experiment
        self._scheduler = Scheduler(
            policy.build(),
            experiment.memory,
            max_seqs=min(experiment.max_seqs, point.step_tokens) if point.prefill else experiment.max_seqs,
            step_tokens=point.step_tokens if point.prefill else experiment.step_tokens,
        )
        others = point.prompts * (point.steps + 1) if point.prompts else int(point.chunk > 0)
        prompts = np.array([*different_lengths(point, rng), *[point.prompt_tokens] * others], dtype=np.int64)
        outputs = np.array([point.row_tokens - point.context] * point.rows + [1] * others, dtype=np.int64)
        self._prompts, self._outputs = prompts.tolist(), outputs.tolist()
        self._executor = Executor(self._engine, vram_cap, prompts, outputs)
        log = self._executor.log.tokens
        log[:] = rng.integers(0, experiment.model.vocab, len(log), dtype=np.int32)
        self._submitted = 0
        self._running: set[int] = set()

    def measured(self) -> Iterator[tuple[StepPlan, int]]:
        """The plan of each measured step, and its duration in ns."""
        point = self._point
        self._submit(point.rows)
        decoding = 0
        while decoding < point.rows:
            decoding += len(self._pretend().joined)
        self._submit(int(point.chunk > 0))
        for _ in range(point.steps_before):
            self._pretend()
        clock = Clock(self._engine.machine)
        steps: list[tuple[StepPlan, Mark, Mark]] = []
        for number in range(point.all_steps):
            if number % (1 + point.decoding_between) == 0:
                self._submit(point.prompts)
            if len(steps) > 1:
                steps[-2][2].reached()  # as in a replay, a step is launched while the step before it runs
            steps.append(self._launch(clock))
        last_ns = 0
        for number, (plan, start, end) in enumerate(steps):
            end.reached()
            begun_ns, ended_ns = max(clock.ns(start), last_ns), clock.ns(end)
            last_ns = ended_ns
            if number >= point.steps_to_warm:
                yield plan, ended_ns - begun_ns

    def end(self) -> None:
        """Release the requests that still run."""
        self._executor.retire(sorted(self._running))

    def _submit(self, count: int) -> None:
        for request in range(self._submitted, self._submitted + count):
            self._scheduler.submit(
                request, arrival_ns=0, prompt_tokens=self._prompts[request], max_new_tokens=self._outputs[request]
            )
        self._submitted += count

    def _stage(self) -> StagedStep:
        return self._executor.stager.stage(self._scheduler.plan(0), self._engine.turn_slab())

    def _pretend(self) -> StepPlan:
        step = self._stage()
        self._commit(step.plan, self._executor.pretend(step))
        return step.plan

    def _launch(self, clock: Clock) -> tuple[StepPlan, Mark, Mark]:
        step = self._stage()
        start = clock.mark()
        finished = self._executor.launch(step).finished
        end = clock.mark()
        self._commit(step.plan, finished)
        return step.plan, start, end

    def _commit(self, plan: StepPlan, finished: list[int]) -> None:
        self._running |= set(plan.admitted)
        self._scheduler.commit(1, finished)
        self._executor.retire(finished)
        self._running -= set(finished)
