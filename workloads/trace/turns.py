"""Conversations: which requests belong together, and which of them wait for the answer to another."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

Column = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

NOBODY = -1

TURN_COLUMNS = ("session", "after_id", "think_ns")
"""What `Turns` is in a file."""

LONGEST_SPAN_S = 9e9
"""From the first arrival to the last, all pauses included: longer ones are no differences of 64 bits in nanoseconds."""


@dataclass(frozen=True, slots=True, eq=False)
class Turns:
    """The conversations of a trace, a row a request.

    A request with a think time is part of a closed loop: it arrives so long after the request before it has ended,
    whichever way that ended. One without arrives at its own time, and the request before it says only whose
    conversation it continues.

    Attributes:
        session: numbers conversations; -1: none.
        after_id: the position of the request before it in its conversation, less than its own; -1: it begins one.
        think_ns: from the end of that request to the arrival of this; -1: it does not wait.
    """

    session: Column
    after_id: Column
    think_ns: Column

    @classmethod
    def none(cls, count: int) -> Self:
        """So many requests of which none belongs to another."""
        alone = np.full(count, NOBODY, dtype=np.int64)
        return cls(alone, alone.copy(), alone.copy())

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """Several, end to end; each keeps its conversations to itself."""
        sessions, before, think = [], [], []
        rows = conversations = 0
        for part in parts:
            sessions.append(np.where(part.session >= 0, part.session + conversations, NOBODY))
            before.append(np.where(part.after_id >= 0, part.after_id + rows, NOBODY))
            think.append(part.think_ns)
            rows += len(part.session)
            conversations += int(part.session.max(initial=NOBODY)) + 1
        return cls(np.concatenate(sessions), np.concatenate(before), np.concatenate(think))

    @property
    def waits(self) -> Flags:
        """Which requests are part of a closed loop, and come when another has ended."""
        return np.asarray(self.think_ns >= 0)

    def at(self, positions: Column) -> Self:
        """The requests at these positions, in this order.

        Who follows one that is left out follows the one before that; who comes before the one that it follows begins a
        conversation.
        """
        place = np.full(len(self.session), NOBODY, dtype=np.int64)
        place[positions] = np.arange(len(positions))
        before, waits = self.after_id[positions], self.waits[positions]
        while (lost := (before >= 0) & (place[before] < 0)).any():
            # In the place of one that did not wait nobody waits: its arrival is that of its whole loop.
            waits = waits & (~lost | self.waits[before])
            before = np.where(lost, self.after_id[before], before)
        before = np.where(before >= 0, place[before], NOBODY)
        before = np.where(before < np.arange(len(positions)), before, NOBODY)
        return type(self)(
            self.session[positions], before, np.where(waits & (before >= 0), self.think_ns[positions], NOBODY)
        )

    @property
    def pauses_s(self) -> float:
        """All of them, one after another."""
        return float(self.think_ns[self.waits].sum(dtype=np.float64)) / 1e9

    def loops_alone(self) -> Self:
        """The same without those who only go on with a conversation, and wait for nobody."""
        waits = self.waits
        within = waits.copy()
        within[self.after_id[waits]] = True
        return type(self)(np.where(within, self.session, NOBODY), np.where(waits, self.after_id, NOBODY), self.think_ns)

    def first_of_loop(self) -> Column:
        """For each request the one that its closed loop begins with, which is itself if it does not wait."""
        first = np.where(self.waits, self.after_id, np.arange(len(self.session)))
        while (further := self.waits[first]).any():
            first = np.where(further, first[first], first)  # twice as far each time
        return np.asarray(first)

    def fault(self, arrival_ns: Column) -> int | None:
        """The first request that no trace may hold: after itself or a later one, waiting for nobody, or with another
        arrival than the one that it waits for.
        """
        own = np.arange(len(self.session))
        wrong = (self.after_id < NOBODY) | (self.after_id >= own) | (self.think_ns < NOBODY) | (self.session < NOBODY)
        wrong |= self.waits & (self.after_id < 0)
        wrong |= self.waits & ~wrong & (arrival_ns[np.where(wrong, 0, self.after_id)] != arrival_ns)
        return int(wrong.argmax()) if wrong.any() else None
