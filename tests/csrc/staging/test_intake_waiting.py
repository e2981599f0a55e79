"""The submission queue among threads, event loops and processes: waiting, waking, ending."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
from support.submitting import PAGE, drain, intake, scheduler, tokens

from warpgroup.csrc import AsyncIntake, Intake
from warpgroup.errors import QueueFull


def fill(queue: Intake) -> None:
    for _ in range(4):
        queue.submit(tokens(1), 5)


def test_waiting_for_room_ends_when_the_time_is_up():
    queue = intake()
    fill(queue)
    start = time.monotonic()
    with pytest.raises(QueueFull, match="4 of 4 requests wait"):
        queue.submit(tokens(1), 5, timeout_s=0.12)
    assert time.monotonic() - start >= 0.12


@pytest.mark.parametrize("timeout_s", [None, 30.0])
def test_waiting_for_room_ends_with_the_next_drain(timeout_s):
    queue = intake()
    fill(queue)
    found: list[int] = []
    waiting = threading.Thread(target=lambda: found.append(queue.submit(tokens(1), 5, timeout_s=timeout_s)))
    waiting.start()
    time.sleep(0.02)
    assert not found
    drain(queue, 1)
    waiting.join(10)
    assert found == [4]


def test_closing_tells_waiting_and_later_submitters():
    queue = intake()
    fill(queue)
    told: list[str] = []

    def wait() -> None:
        try:
            queue.submit(tokens(1), 5, timeout_s=None)
        except QueueFull as error:
            told.append(str(error))

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.02)
    queue.close()
    for thread in threads:
        thread.join(10)
    assert told == ["the submission queue is closed"] * 3
    with pytest.raises(QueueFull, match="closed"):
        queue.abort(0, timeout_s=None)
    assert drain(queue)[0].submitted == [0, 1, 2, 3]


def test_the_consumer_is_woken_by_an_item_and_by_the_end():
    queue = intake()
    assert not queue.wait(0)
    assert not queue.wait(0.01)
    for act, expected in ((lambda: queue.submit(tokens(1), 5), True), (queue.close, True)):
        later = threading.Timer(0.02, act)
        later.start()
        assert queue.wait(30) == expected
        later.join()
    drain(queue)
    assert not queue.wait(30), "a closed queue has nothing to wait for"


def test_signals_do_not_shorten_a_wait():
    queue = intake()
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    try:
        start = time.monotonic()
        assert not queue.wait(0.3)
        assert time.monotonic() - start >= 0.3
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_nothing_is_queued_after_the_queue_was_closed():
    for _ in range(50):
        queue, ids = intake(capacity=1024, pages=1024), []

        def submit(queue=queue, ids=ids) -> None:
            with contextlib.suppress(QueueFull):
                while True:
                    ids.append(queue.submit(tokens(1), 5))

        thread = threading.Thread(target=submit)
        thread.start()
        time.sleep(0.0005)
        queue.close()
        drained = []
        while queue.wait(10):
            drained += drain(queue)[0].submitted
        thread.join()
        assert drained == ids
        assert queue.queued == 0


def test_threads_submit_and_nothing_is_lost_or_out_of_order():
    queue = intake(capacity=64, pages=128)
    each, mine = 500, [[] for _ in range(4)]

    def submit(thread: int) -> None:
        for number in range(each):
            mine[thread].append(queue.submit(tokens(thread, number), 5, timeout_s=None))

    threads = [threading.Thread(target=submit, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    prompts: dict[int, np.ndarray] = {}
    while len(prompts) < 4 * each:
        queue.wait(1)
        prompts |= drain(queue)[1]
    for thread in threads:
        thread.join()
    assert sorted(prompts) == [*range(4 * each)]
    for thread, ids in enumerate(mine):
        assert all(a < b for a, b in pairwise(ids))
        assert [prompts[id][:2].tolist() for id in ids] == [[thread, number] for number in range(each)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_threads_that_die_leave_what_they_had_submitted_and_all_other_room():
    queue, threads = intake(capacity=256, pages=256), 8
    ids: dict[int, list[int]] = {each: [] for each in range(threads)}

    def die(me: int) -> None:
        for _ in range(20 + me):
            ids[me].append(queue.submit(tokens(me + 1), 5))
        queue.submit(tokens(-1), 5)  # raises, and nobody catches it

    dying = [threading.Thread(target=die, args=(each,)) for each in range(threads)]
    for thread in dying:
        thread.start()
    for thread in dying:
        thread.join()
    found, prompts = drain(queue)
    assert sorted(found.submitted) == sorted(id for each in ids.values() for id in each)
    assert all(prompts[id][0] == me + 1 for me, each in ids.items() for id in each)
    assert (queue.queued, queue.free_tokens) == (0, 256 * PAGE)


def test_coroutines_await_room():
    async def run() -> None:
        queue = intake()
        door = AsyncIntake(queue)
        fill(queue)
        waiting = [asyncio.create_task(door.submit(tokens(9), 5)) for _ in range(6)]
        aborting = asyncio.create_task(door.abort(0))
        await asyncio.sleep(0.02)
        assert not any(task.done() for task in waiting)
        waiting[0].cancel()
        taken = 0
        while not all(task.done() for task in (*waiting, aborting)):
            found, _ = drain(queue)
            taken += len(found.submitted)
            await asyncio.sleep(0)
        taken += len(drain(queue)[0].submitted)
        assert waiting[0].cancelled()
        assert len({task.result() for task in waiting[1:]}) == 5
        assert taken == 4 + 5, "the cancelled request was queued"

    asyncio.run(run())


def test_coroutines_are_told_of_the_end():
    async def run() -> None:
        queue = intake()
        door = AsyncIntake(queue)
        fill(queue)
        waiting = asyncio.create_task(door.submit(tokens(9), 5))
        await asyncio.sleep(0.01)
        queue.close()
        with pytest.raises(QueueFull, match="closed"):
            await waiting
        with pytest.raises(QueueFull, match="closed"):
            await door.submit(tokens(9), 5)

    asyncio.run(run())


def test_a_forked_child_is_told_that_the_queue_is_not_its_own():
    queue = intake()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            queue.submit(tokens(1), 5)
        except RuntimeError as error:
            os.write(writing, str(error).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as said:
        assert said.read() == ("this submission queue belongs to the process that made it: after a fork make another")
    assert queue.submit(tokens(1), 5) == 0


DYING = """
import threading, time
import numpy as np
from warpgroup.csrc import Intake
queue = Intake(2, np.zeros(256 * 4, dtype=np.int32))
prompt = np.ones(3, dtype=np.int32)
queue.submit(prompt, 1)
queue.submit(prompt, 1)
for _ in range(3):
    threading.Thread(target=lambda: queue.submit(prompt, 1, timeout_s=None), daemon=True).start()
time.sleep(0.1)
print("over", flush=True)
"""


def test_the_interpreter_ends_while_threads_wait_for_room():
    ended = subprocess.run([sys.executable, "-c", DYING], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout.strip()) == (0, "over"), ended.stderr


def test_ctrl_c_reaches_a_waiting_submitter():
    code = DYING.replace("daemon=True).start()", "daemon=True)").replace(
        'print("over", flush=True)',
        "import signal, os\n"
        "threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "try:\n    queue.submit(prompt, 1, timeout_s=None)\nexcept KeyboardInterrupt:\n    print('interrupted')",
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout.strip() == "interrupted", ended.stderr


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has a GIL")
def test_without_a_gil_the_module_asks_for_none():
    assert not sys._is_gil_enabled()


def test_a_drain_takes_no_more_than_the_queue_holds():
    queue, other = intake(capacity=64, pages=64), threading.Event()

    def submit() -> None:
        while not other.is_set():
            with contextlib.suppress(QueueFull):
                queue.submit(tokens(1), 5)

    thread = threading.Thread(target=submit)
    thread.start()
    try:
        for _ in range(50):
            log, starts = np.zeros(1, dtype=np.int32), np.zeros(1 << 20, dtype=np.int64)
            drained = queue.drain(scheduler(), log, starts)
            assert len(drained.submitted) <= 64
    finally:
        other.set()
        thread.join()


def test_a_bad_prompt_gives_its_space_back_to_a_waiting_submitter():
    """The pages were all taken while the bad token was looked for: others found none, and nobody drains."""

    async def run() -> None:
        queue = intake(pages=20_000)
        bad = np.ones(20_000 * PAGE, dtype=np.int32)
        bad[-1] = -1

        def submit_bad() -> None:
            for _ in range(5):
                with contextlib.suppress(ValueError, QueueFull):
                    queue.submit(bad, 5)

        thread = threading.Thread(target=submit_bad)
        thread.start()
        door = AsyncIntake(queue)
        for _ in range(20):
            await asyncio.wait_for(door.submit(tokens(1), 5), 10)
            drain(queue)
        thread.join()

    asyncio.run(run())
