"""What a caller chooses about a replay, and what the replay tells the caller while it runs."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a replay, for a person who waits for it.

    Attributes:
        ended: requests that finished, failed or were rejected.
        tokens: computed so far, prompts and outputs.
        seconds: since the run began.
        running: requests in the last step.
        waiting: requests in the queue after the last plan.
        vram_bytes: the most that the process held during the last step.
    """

    ended: int
    tokens: int
    seconds: float
    running: int
    waiting: int
    vram_bytes: int


class ReplayOptions(msgspec.Struct, frozen=True):
    """How a replay runs.

    Attributes:
        plan_ahead: 1: each step is planned while the step before it runs; 0: after it.
        on_progress: called every few steps.
        command: the command line that the record quotes.
    """

    plan_ahead: int = 1
    on_progress: Callable[[Progress], None] | None = None
    command: str = ""
