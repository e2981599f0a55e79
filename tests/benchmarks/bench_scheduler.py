"""Measures plans and submissions of a large server: 1,024 requests running, 10,000 queued.

    pytest tests/benchmarks/bench_scheduler.py --benchmark-timer=time.process_time

The plans are of a saturated run, in which requests finish and others are considered all the time.
"""

from dataclasses import dataclass, field

import numpy as np
import pytest

from warpgroup.csrc import MemoryModel, Scheduler, StepPlan, parse_policy
from warpgroup.experiment import geometry_of
from warpgroup.workloads import load_model

RUNNING, QUEUED = 1_024, 10_000
POLICIES = ["paged", "no-evict", "ffd", "first-fit", "token-ratio", "past-future", "mc-sf", "skyline", "oracle"]


@dataclass
class Server:
    """A scheduler with the least executor that keeps it busy."""

    scheduler: Scheduler
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    left: dict[int, int] = field(default_factory=dict)
    outputs: list[int] = field(default_factory=list)

    def submit(self, count: int) -> None:
        prompts = self.rng.integers(100, 900, count).tolist()
        outputs = self.rng.integers(1, 1000, count).tolist()
        for prompt, output in zip(prompts, outputs, strict=True):
            self.scheduler.submit(
                len(self.outputs), arrival_ns=0, prompt_tokens=prompt, max_new_tokens=1000, output_tokens=output
            )
            self.outputs.append(output)

    def commit(self, plan: StepPlan) -> None:
        for evicted in plan.evicted:
            self.left.pop(evicted.id, None)
        for joined in plan.joined:
            self.left[joined.id] = self.outputs[joined.id] - joined.generated + 1
        finished = []
        for request in [*plan.decode, *(joined.id for joined in plan.joined)]:
            self.left[request] -= 1
            if not self.left[request]:
                finished.append(request)
                del self.left[request]
        self.scheduler.commit(1, finished)


def saturated(policy: str, running: int = RUNNING) -> Server:
    """A server after its cold start, with about `running` requests running and a full queue."""
    memory = MemoryModel.for_blocks(
        geometry_of(load_model("qwen2.5-7b")),
        blocks=62 * running,
        context_bytes=0,
        block_tokens=16,
        step_tokens=1 << 20,
        max_seqs=running,
    )
    scheduler = Scheduler(parse_policy(policy).build(), memory, max_seqs=running, step_tokens=1 << 20)
    server = Server(scheduler)
    server.submit(2 * running)
    for _ in range(1200):
        if scheduler.waiting < running:
            server.submit(running)
        server.commit(scheduler.plan(0))
    server.submit(QUEUED - scheduler.waiting)
    return server


@pytest.mark.parametrize("policy", POLICIES)
def test_plan(benchmark, policy):
    server = saturated(policy)
    plans: list[StepPlan] = []

    def commit_the_last() -> None:
        if plans:
            server.commit(plans.pop())

    benchmark.group = f"plan, {QUEUED:,} queued"
    benchmark.pedantic(
        lambda: plans.append(server.scheduler.plan(0)), setup=commit_the_last, rounds=300, warmup_rounds=5
    )
    benchmark.extra_info["running"] = server.scheduler.running


@pytest.mark.parametrize("policy", ["paged", "ffd", "skyline"])
def test_submit(benchmark, policy):
    scheduler = saturated(policy, running=64).scheduler
    benchmark.group = "submit, 10,000 queued"
    numbers = iter(range(10**7, 10**8))

    def submit() -> None:
        scheduler.submit(next(numbers), arrival_ns=0, prompt_tokens=500, max_new_tokens=1000)

    benchmark.pedantic(submit, rounds=200, iterations=100)
