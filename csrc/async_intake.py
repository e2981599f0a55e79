"""Submission from an event loop: calls that would block a thread are awaited."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from ..errors import QueueFull
from ._core import Intake

Result = TypeVar("Result")


class AsyncIntake:
    """An `Intake` for the coroutines of one event loop.

    While a coroutine waits, the loop watches a file descriptor that announces free space. The thread that frees the
    space does not need the GIL for this.
    """

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._waiting = 0
        self._space = asyncio.Event()
        self._fd = -1

    async def submit(self, tokens: Any, max_new_tokens: int, *, arrival_ns: int = 0, output_tokens: int = 0) -> int:
        """Queue a request as `Intake.submit` does, and await space. A cancelled call has queued nothing.

        Raises:
            QueueFull: the queue was closed.
        """
        return await self._when_there_is_space(
            lambda: self._intake.submit(tokens, max_new_tokens, arrival_ns, output_tokens)
        )

    async def abort(self, id: int) -> None:
        """Queue an abort as `Intake.abort` does, and await space.

        Raises:
            QueueFull: the queue was closed.
        """
        await self._when_there_is_space(lambda: self._intake.abort(id))

    async def _when_there_is_space(self, attempt: Callable[[], Result]) -> Result:
        try:
            return attempt()
        except QueueFull:
            if self._intake.closed:
                raise
        with self._watching():
            while True:
                self._space.clear()
                try:
                    return attempt()
                except QueueFull:
                    if self._intake.closed:
                        raise
                await self._space.wait()

    @contextmanager
    def _watching(self) -> Iterator[None]:
        if self._waiting == 0:
            self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._fd, self._told)
            self._intake.watch_space(self._fd)
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            if self._waiting == 0:
                self._intake.unwatch_space(self._fd)
                if not self._loop.is_closed():
                    self._loop.remove_reader(self._fd)
                os.close(self._fd)

    def _told(self) -> None:
        os.eventfd_read(self._fd)
        self._space.set()
