"""From plans to slabs: what the builder refuses, and what it counts. Whole runs are tested in tests/runtime."""

import numpy as np
import pytest
from support.driving import memory

from warpgroup.csrc import BlockManager, Scheduler, SlabShape, StepBuilder, parse_policy


class Run:
    """Requests of given (prompt, output) under a scheduler with a pool of `blocks` blocks of 16 tokens."""

    def __init__(self, rows, *, policy: str = "paged", blocks: int = 50, seats: int = 8, pool: int = 50) -> None:
        prompts, outputs = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
        core = parse_policy(policy).build()
        self.scheduler = Scheduler(core, memory(blocks), max_seqs=8, step_tokens=64)
        ends = prompts + outputs
        starts = np.cumsum(ends) - ends
        self.log = np.arange(int(ends.sum()) + 1, dtype=np.int32)
        self.block_manager = BlockManager(seats=seats, width=20, block_tokens=16)
        self.block_manager.resize(pool)
        self.builder = StepBuilder(
            log=self.log,
            starts=starts,
            prompt_tokens=prompts,
            ends=ends,
            block_manager=self.block_manager,
            seed=0,
            padded=core.is_padded,
        )
        for request, (prompt, output) in enumerate(rows):
            self.scheduler.submit(request, arrival_ns=0, prompt_tokens=prompt, max_new_tokens=output)

    def step(self):
        """One plan, up to where it would be launched; the blocks that it lacks."""
        self.plan = self.scheduler.plan(0)
        self.builder.apply(self.plan)
        return self.builder.prepare(self.plan)

    def commit(self) -> list[int]:
        self.builder.hold()
        draws = self.builder.launched()
        self.scheduler.commit(1, draws.finished)
        self.builder.retire(draws.finished)
        return draws.finished


def test_blocks_that_are_missing_are_counted_and_taken():
    run = Run([(40, 5), (20, 3)], pool=2)
    assert run.step() == 3 + 2 - 2
    with pytest.raises(RuntimeError, match="there are too few blocks for the step"):
        run.builder.hold()
    run.block_manager.resize(5)
    assert run.builder.prepare(run.plan) == 0
    assert run.commit() == []
    assert run.block_manager.free_blocks == 0


def test_a_run_ends_with_nothing_held_and_every_token_drawn_once():
    rows = [(40, 5), (20, 3), (70, 20), (1, 1)]
    run, finished, places = Run(rows), [], []
    while run.scheduler.waiting or run.scheduler.running:
        assert run.step() == 0
        run.builder.hold()
        draws = run.builder.launched()
        places += draws.places.tolist()
        finished += draws.finished
        run.scheduler.commit(1, draws.finished)
        run.builder.retire(draws.finished)
    assert sorted(finished) == [0, 1, 2, 3]
    starts = np.cumsum([prompt + output for prompt, output in rows]) - [prompt + output for prompt, output in rows]
    wanted = [start + prompt + i for start, (prompt, output) in zip(starts, rows, strict=True) for i in range(output)]
    assert sorted(places) == sorted(wanted)
    assert run.block_manager.free_blocks == run.block_manager.blocks


def test_rows_of_a_static_batch_that_have_ended_draw_for_nobody():
    run = Run([(10, 1), (30, 4)], policy="count-static(n=2)")
    run.step()
    assert run.builder.extent.prompts == [30, 30]
    assert run.builder.extent.padded
    assert run.commit() == [0]
    run.step()
    assert run.builder.extent.rows == 2, "the row that has ended is computed on"
    run.builder.hold()
    draws = run.builder.launched()
    assert draws.places.tolist()[0] == len(run.log) - 1


def test_more_requests_than_seats_are_an_error():
    run = Run([(5, 5)] * 3, seats=2)
    with pytest.raises(RuntimeError, match="more requests run than there are seats"):
        run.step()


@pytest.mark.parametrize(
    ("shape", "slab", "message"),
    [
        ((0, 0, 0, 1, 40, 1, 20), 10, "the slab is smaller than the shape"),
        ((0, 0, 0, 1, 39, 1, 20), 5000, "the step is larger than the shape"),
        ((0, 0, 0, 0, 40, 1, 20), 5000, "the step is larger than the shape"),
        ((0, 0, 0, 1, 40, 0, 20), 5000, "the step is larger than the shape"),
    ],
)
def test_a_step_that_does_not_fit_is_refused(shape, slab, message):
    run = Run([(40, 5)])
    run.step()
    run.builder.hold()
    memory = np.full(slab, -1234, dtype=np.int32)
    with pytest.raises(ValueError, match=message):
        run.builder.write(memory, SlabShape(*shape), all_continue=False)
    assert (memory == -1234).all()
