"""What a replay changes in its process while it runs: the meaning of Ctrl-C, and how often threads switch."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SWITCH_S = 0.0005
"""Python's other threads wait at most so long for the interpreter, so that requests are submitted in time."""


class Interrupt:
    """Whether Ctrl-C was pressed.

    Attributes:
        asked: the run is to end after the step that is being planned.
    """

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def noted(self) -> Iterator[None]:
        """While this is open, the first Ctrl-C sets `asked`.

        A second one raises KeyboardInterrupt, since the device may no longer answer.
        Only the main thread can handle signals; in another thread nothing changes.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(*_: object) -> None:
            if self.asked:
                raise KeyboardInterrupt
            self.asked = True

        before = signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


@contextmanager
def short_thread_switches() -> Iterator[None]:
    """While this is open, Python switches between threads more often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
