"""The submission queue from one thread: order, bounds, and what its callers may do wrong."""

import array
from collections import deque

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.driving import memory
from support.submitting import PAGE, drain, intake, scheduler, tokens

from warpgroup.csrc import Intake, Scheduler, parse_policy
from warpgroup.errors import QueueFull


class AgainstAModel(RuleBasedStateMachine):
    """Any sequence of calls from one thread gives what a list with two limits would give."""

    CAPACITY, PAGES = 8, 12

    def __init__(self) -> None:
        super().__init__()
        self.queue = intake(self.CAPACITY, self.PAGES)
        self.waiting: deque = deque()  # (id, prompt), or (None, id) for an abort
        self.scheduler = scheduler()
        self.known: set[int] = set()
        self.tickets = 0
        self.log = np.zeros(5000 * 1000, dtype=np.int32)
        self.starts = np.arange(5000, dtype=np.int64) * 1000

    @property
    def free_pages(self) -> int:
        return self.PAGES - sum(-(-len(prompt) // PAGE) for id, prompt in self.waiting if id is not None)

    def has_room(self, prompts: list[list[int]]) -> bool:
        pages = sum(-(-len(prompt) // PAGE) for prompt in prompts)
        return len(self.waiting) + len(prompts) <= self.CAPACITY and pages <= self.free_pages

    @rule(size=st.integers(1, 700), first=st.integers(0, 2**31 - 800))
    def submit(self, size, first):
        prompt = list(range(first, first + size))
        if self.has_room([prompt]):
            assert self.queue.submit(np.array(prompt), 5) == self.tickets
            self.waiting.append((self.tickets, prompt))
            self.tickets += 1
        else:
            with pytest.raises(QueueFull, match="the submission queue is full"):
                self.queue.submit(np.array(prompt), 5)

    @rule(sizes=st.lists(st.integers(1, 400), max_size=5))
    def submit_many(self, sizes):
        prompts = [[size] * size for size in sizes]
        count = len(sizes)
        given = {
            "tokens": np.array([token for prompt in prompts for token in prompt], dtype=np.int32),
            "prompt_tokens": np.array(sizes, dtype=np.int64),
            "max_new_tokens": np.full(count, 5),
            "arrival_ns": np.zeros(count, dtype=np.int64),
            "output_tokens": np.zeros(count, dtype=np.int64),
        }
        if self.has_room(prompts):
            first = self.queue.submit_many(**given)
            assert not count or first == self.tickets
            self.waiting.extend((self.tickets + i, prompt) for i, prompt in enumerate(prompts))
            self.tickets += count
        else:
            with pytest.raises(QueueFull):
                self.queue.submit_many(**given)

    @precondition(lambda self: self.tickets)
    @rule(data=st.data())
    def abort(self, data):
        id = data.draw(st.integers(0, self.tickets))
        if len(self.waiting) < self.CAPACITY:
            self.queue.abort(id)
            self.waiting.append((None, id))
            self.tickets += 1
        else:
            with pytest.raises(QueueFull):
                self.queue.abort(id)

    @rule(most=st.integers(0, 10))
    def drain(self, most):
        assert self.queue.wait(0) == bool(self.waiting)
        found = self.queue.drain(self.scheduler, self.log, self.starts, most)
        accepted, aborted = [], 0
        for id, what in (self.waiting.popleft() for _ in range(min(most, len(self.waiting)))):
            if id is None:
                aborted += what in self.known
                self.known.discard(what)
                continue
            accepted.append(id)
            self.known.add(id)
            start = self.starts[id]
            assert self.log[start : start + len(what)].tolist() == what
        assert (found.submitted, found.aborted, found.refused) == (accepted, aborted, [])
        assert self.scheduler.waiting == len(self.known)

    @invariant()
    def counts(self):
        assert self.queue.queued == len(self.waiting)
        assert self.queue.free_tokens == self.free_pages * PAGE


AgainstAModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAgainstAModel = AgainstAModel.TestCase


class Dlpack:
    """What a torch tensor is to the queue: no buffer, only DLPack."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def __dlpack__(self, **given):
        return self._values.__dlpack__(**given)

    def __dlpack_device__(self):
        return self._values.__dlpack_device__()


@pytest.mark.parametrize(
    "prompt",
    [
        *(np.array([1, 2, 60_000 if kind != "int16" else 3], dtype=kind) for kind in ("int16", "uint16", "int32")),
        *(np.array([1, 2, 60_000], dtype=kind) for kind in ("uint32", "int64", "uint64")),
        array.array("i", [7, 8, 9]),
        memoryview(array.array("q", [7, 8, 9])),
        Dlpack(np.array([5, 6, 7])),
    ],
    ids=lambda prompt: f"{type(prompt).__name__}-{getattr(prompt, 'dtype', '')}",
)
def test_tokens_are_any_integers_in_one_piece(prompt):
    queue = intake()
    id = queue.submit(prompt, 5)
    _, found = drain(queue)
    assert found[id][:3].tolist() == np.asarray(getattr(prompt, "_values", prompt)).tolist()


def test_tokens_are_a_tensor():
    torch = pytest.importorskip("torch")
    queue = intake()
    id = queue.submit(torch.arange(40, 60)[5:15], 5)
    with pytest.raises(TypeError, match="token ids must be integers of 2, 4 or 8 bytes, not float32"):
        queue.submit(torch.ones(3), 5)
    with pytest.raises(ValueError, match="token ids must be one-dimensional and contiguous"):
        queue.submit(torch.arange(10)[::2], 5)
    _, found = drain(queue)
    assert found[id][:10].tolist() == [*range(45, 55)]


@pytest.mark.parametrize(
    ("prompt", "max_new_tokens", "error", "message"),
    [
        (tokens(), 5, ValueError, "a prompt is empty"),
        (tokens(1, -1), 5, ValueError, "a token id is below 0 or above 2147483647"),
        (np.array([2**31]), 5, ValueError, "a token id is below 0 or above 2147483647"),
        (np.array([2**32 + 1]), 5, ValueError, "a token id is below 0 or above 2147483647"),
        (np.ones(PAGE * 8 + 1, dtype=np.int32), 5, ValueError, "do not fit into a queue of 4 requests and 2048 tokens"),
        (tokens(1), 0, ValueError, "max_new_tokens is 0, expected at least 1"),
        (np.ones((2, 2), dtype=np.int32), 5, ValueError, "token ids must be one-dimensional and contiguous"),
        (np.ones(8, dtype=np.int32)[::2], 5, ValueError, "token ids must be one-dimensional and contiguous"),
        (np.ones(2), 5, TypeError, "token ids must be integers of 2, 4 or 8 bytes, not float64"),
        (b"text", 5, TypeError, "token ids must be integers of 2, 4 or 8 bytes, not uint8"),
        (np.ones(2, dtype=">i4"), 5, TypeError, "token ids must be integers of 2, 4 or 8 bytes, not >i4"),
        ([1, 2], 5, TypeError, "token ids must be an array of integers .*, not list"),
    ],
)
def test_bad_prompts_are_refused_and_leave_nothing_behind(prompt, max_new_tokens, error, message):
    queue = intake()
    with pytest.raises(error, match=message):
        queue.submit(prompt, max_new_tokens)
    assert (queue.queued, queue.free_tokens) == (0, 8 * PAGE)
    assert queue.submit(tokens(1), 1) == 0


@pytest.mark.parametrize(
    ("capacity", "size", "message"),
    [(3, PAGE, "capacity is 3, expected a power of two"), (4, PAGE - 1, "memory for 255 tokens")],
)
def test_a_queue_has_a_power_of_two_of_places_and_a_page(capacity, size, message):
    with pytest.raises(ValueError, match=message):
        Intake(capacity, np.zeros(size, dtype=np.int32))


def test_memory_has_the_right_type_and_stays_alive():
    with pytest.raises(TypeError):
        Intake(4, np.zeros(PAGE, dtype=np.int64))
    queue = intake()  # nobody else holds its memory
    queue.submit(tokens(1, 2, 3), 5)
    assert drain(queue)[1][0][:3].tolist() == [1, 2, 3]


def test_arrays_of_different_lengths_are_refused():
    one, two = np.ones(1, dtype=np.int64), np.ones(2, dtype=np.int64)
    with pytest.raises(ValueError, match="the arrays differ in length"):
        intake().submit_many(tokens=two, prompt_tokens=two, max_new_tokens=one, arrival_ns=two, output_tokens=two)
    with pytest.raises(ValueError, match="the prompts have more tokens than the 1 that were given"):
        intake().submit_many(tokens=one, prompt_tokens=two, max_new_tokens=two, arrival_ns=two, output_tokens=two)


def test_tokens_that_belong_to_no_prompt_are_refused():
    one = np.ones(1, dtype=np.int64)
    with pytest.raises(ValueError, match="the prompts have 1 tokens, 2 were given"):
        intake().submit_many(
            tokens=tokens(1, 2), prompt_tokens=one, max_new_tokens=one, arrival_ns=one, output_tokens=one
        )


def test_a_request_that_the_scheduler_refuses_is_named_with_the_reason():
    queue = intake()
    queue.submit(np.ones(1700, dtype=np.int32), 5)
    log, starts = np.zeros(1700, dtype=np.int32), np.zeros(1, dtype=np.int64)
    found = queue.drain(scheduler(), log, starts)
    assert found.submitted == [0]
    assert found.refused == [(0, "prompt of 1700 tokens needs 107 KV blocks, the pool has 100")]


def test_a_request_without_a_place_in_the_log_is_refused_and_nothing_is_written():
    queue = intake()
    for _ in range(4):
        queue.submit(np.full(300, 7), 5)
        log, starts = np.zeros(400, dtype=np.int32), np.array([0, 150, -5], dtype=np.int64)
        drained = queue.drain(scheduler(), log[:310], starts)
        written = int((log > 0).sum())
        assert (len(drained.submitted), written) in ((1, 300), (0, 0))
        assert len(drained.submitted) + len(drained.refused) == 1
    assert drained.refused == [(3, "request 3 has no place in the log")]
    assert queue.free_tokens == 8 * PAGE


def test_what_the_scheduler_calls_wrong_is_refused_and_the_others_are_not_lost():
    queue = intake()
    oracle = Scheduler(parse_policy("oracle").build(), memory(100), max_seqs=64, step_tokens=256)
    for output_tokens in (3, 0, 4):
        queue.submit(tokens(1), 5, 0, output_tokens)
    drained = queue.drain(oracle, np.zeros(3, dtype=np.int32), np.arange(3, dtype=np.int64))
    assert drained.submitted == [0, 2]
    assert drained.refused == [(1, "request 1: policy 'oracle' needs its true output length")]


def test_lengths_that_overflow_are_refused():
    huge = np.array([2**63 - 1, 2**63 - 1, 4], dtype=np.int64)
    one = np.ones(3, dtype=np.int64)
    with pytest.raises(ValueError, match="the prompts have more tokens than the 2 that were given"):
        intake().submit_many(
            tokens=tokens(0, 0), prompt_tokens=huge, max_new_tokens=one, arrival_ns=one, output_tokens=one
        )
