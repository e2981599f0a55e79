"""The thread that plans and stages: hand-over, failures, and the same steps as without a thread."""

import threading
import time

import numpy as np
import pytest
from support.driving import memory

from warpgroup.csrc import BlockManager, Intake, Scheduler, SlabShape, StepBuilder, StepStager, StepWorker, parse_policy

ROWS = [(40, 5), (20, 3), (70, 20), (1, 1), (33, 12)]


class Server:
    """Requests that are submitted, and everything between them and a slab."""

    def __init__(self, *, seats: int = 8, pool: int = 50, captured: list[SlabShape] | None = None) -> None:
        prompts, outputs = (np.array(column, dtype=np.int64) for column in zip(*ROWS, strict=True))
        ends = prompts + outputs
        self.starts = np.cumsum(ends) - ends
        self.log = np.zeros(int(ends.sum()) + 1, dtype=np.int32)
        self.scheduler = Scheduler(parse_policy("paged").build(), memory(50), max_seqs=8, step_tokens=64)
        self.block_manager = BlockManager(seats=seats, width=20, block_tokens=16)
        self.block_manager.resize(pool)
        self.builder = StepBuilder(
            log=self.log,
            starts=self.starts,
            prompt_tokens=prompts,
            ends=ends,
            block_manager=self.block_manager,
            seed=0,
            padded=False,
        )
        self.stager = StepStager(self.builder, width=20, captured=captured or [])
        self.intake = Intake(16, np.zeros(16 * 256, dtype=np.int32))
        for (prompt, output), start in zip(ROWS, self.starts, strict=True):
            self.intake.submit(np.arange(start, start + prompt, dtype=np.int32), output)

    def worker(self) -> StepWorker:
        return StepWorker(
            self.intake,
            self.scheduler,
            self.stager,
            log=self.log,
            starts=self.starts,
            zero_ns=time.perf_counter_ns(),
        )

    def commit(self) -> None:
        draws = self.builder.launched()
        self.scheduler.commit(1, draws.finished)
        self.builder.retire(draws.finished)


def run(server: Server, staged) -> list[tuple]:
    """To the end; every step's shape and slab."""
    seen = []
    while True:
        slab = np.zeros(4000, dtype=np.int32)
        step = staged(slab)
        if step.plan.horizon == 0:
            return seen
        assert step.written
        last = step.shape.arrays()[-1]
        seen.append((step.shape.arrays(), slab[: last[1] + last[2]].tolist()))
        server.commit()


def test_steps_are_those_that_are_made_without_a_thread():
    with_thread, without = Server(), Server()
    worker = with_thread.worker()

    def by_worker(slab):
        worker.begin(slab)
        return worker.take()

    def by_hand(slab):
        without.intake.drain(without.scheduler, without.log, without.starts)
        return without.stager.stage(without.scheduler.plan(0), slab)

    steps = run(with_thread, by_worker)
    assert len(steps) > 20
    assert steps == run(without, by_hand)
    assert with_thread.scheduler.plan_hash == without.scheduler.plan_hash


def test_steps_take_the_smallest_captured_shape_that_they_fit_into():
    captured = [SlabShape(rows, 4 if size else 0, size, 0, 0, rows + (4 if size else 0), 20)
                for rows in (1, 2, 8) for size in (0, 32)]  # fmt: skip
    server, shapes = Server(captured=captured), set()

    def staged(slab):
        server.intake.drain(server.scheduler, server.log, server.starts)
        step = server.stager.stage(server.scheduler.plan(0), slab)
        if step.plan.horizon:
            extent = server.builder.extent
            pieces = extent.chunk_tokens + extent.prompt_tokens
            assert step.captured == (pieces <= 32)
            if step.captured:
                rows = next(rows for rows in (1, 2, 8) if rows >= extent.rows)
                assert (step.shape.rows, step.shape.chunk_tokens) == (rows, 32 if pieces else 0)
            shapes.add(step.captured)
        return step

    run(server, staged)
    assert shapes == {True, False}


def test_a_slab_that_is_too_small_and_blocks_that_are_missing_are_said():
    server = Server(pool=1)
    worker = server.worker()
    worker.begin(np.zeros(4000, dtype=np.int32))
    step = worker.take()
    assert (step.missing_blocks > 0, step.written, step.to_device) == (True, False, [])
    server.block_manager.resize(40)
    assert server.builder.missing_blocks() == 0
    server.builder.hold()
    server.commit()
    worker.begin(np.zeros(8, dtype=np.int32))
    step = worker.take()
    assert (step.missing_blocks, step.written) == (0, False)


def test_no_more_blocks_are_held_than_the_limit_though_the_pool_has_them():
    server = Server(pool=50)
    server.builder.limit_blocks(3)
    server.intake.drain(server.scheduler, server.log, server.starts)
    step = server.stager.stage(server.scheduler.plan(0), np.zeros(4000, dtype=np.int32))
    assert step.missing_blocks > 0
    assert (step.written, server.block_manager.free_blocks) == (False, 50)
    server.builder.limit_blocks(50)
    assert server.builder.missing_blocks() == 0


def test_plans_are_begun_and_taken_one_by_one():
    worker, slab = Server().worker(), np.zeros(4000, dtype=np.int32)
    with pytest.raises(RuntimeError, match="no plan was begun"):
        worker.take()
    worker.begin(slab)
    with pytest.raises(RuntimeError, match="a plan was begun and not taken"):
        worker.begin(slab)
    assert worker.take().plan.horizon > 0


def test_what_goes_wrong_in_the_thread_is_raised_where_it_is_waited_for():
    worker = Server(seats=1).worker()
    worker.begin(np.zeros(4000, dtype=np.int32))
    with pytest.raises(RuntimeError, match="more requests run than there are seats"):
        worker.take()


def test_a_worker_ends_whatever_it_was_doing():
    before = threading.active_count()
    for begun in (False, True):
        worker = Server().worker()
        if begun:
            worker.begin(np.zeros(4000, dtype=np.int32))
        del worker
    assert threading.active_count() == before
    worker = Server().worker()
    worker.begin(np.zeros(4000, dtype=np.int32))
    worker.close()
    worker.close()
    with pytest.raises(RuntimeError, match="the worker was closed"):
        worker.begin(np.zeros(4000, dtype=np.int32))
    with pytest.raises(RuntimeError, match="no plan was begun"):
        worker.take()
