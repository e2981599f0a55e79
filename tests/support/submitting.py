"""Queues, schedulers and prompts for tests of submission."""

import numpy as np
from support.driving import memory

from warpgroup.csrc import Intake, Scheduler, parse_policy

PAGE = 256


def scheduler() -> Scheduler:
    return Scheduler(parse_policy("paged").build(), memory(100), max_seqs=64, step_tokens=256)


def intake(capacity: int = 4, pages: int = 8) -> Intake:
    return Intake(capacity, np.zeros(pages * PAGE, dtype=np.int32))


def tokens(*ids: int) -> np.ndarray:
    return np.array(ids, dtype=np.int32)


def drain(queue: Intake, most: int | None = None, *, length: int = 4096):
    """What came of it, and the prompts by id."""
    log, starts = np.zeros(length * PAGE, dtype=np.int32), np.arange(length, dtype=np.int64) * PAGE
    found = queue.drain(scheduler(), log, starts, *([] if most is None else [most]))
    return found, {id: log[id * PAGE : id * PAGE + PAGE] for id in found.submitted}
