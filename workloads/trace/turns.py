"""Conversations: which requests belong together, and which of them wait for the answer to another."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..quantities import NS

Column = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

ABSENT = -1
"""No session, no earlier request, or no think time."""

TURN_COLUMNS = ("session", "after_id", "think_ns")
"""The columns of `Turns` in a file."""


@dataclass(frozen=True, slots=True, eq=False)
class Turns:
    """The conversations of a trace, one row for each request. All columns have the shape (requests,).

    A request with a think time is part of a closed loop: it arrives that long after the request before it has ended,
    in whichever way that one ended. A request without a think time arrives at its own time; the request before it only
    says which conversation it continues.

    Attributes:
        session: the number of the conversation; -1: none.
        after_id: the position of the request before it in its conversation, an earlier position; -1: it is the first.
        think_ns: the time from the end of that request to the arrival of this one; -1: it does not wait.
    """

    session: Column
    after_id: Column
    think_ns: Column

    @classmethod
    def none(cls, count: int) -> Self:
        """Turns of `count` requests that are all independent."""
        alone = np.full(count, ABSENT, dtype=np.int64)
        return cls(alone, alone.copy(), alone.copy())

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """The parts end to end; conversations of different parts stay separate."""
        sessions, before, think = [], [], []
        rows = conversations = 0
        for part in parts:
            sessions.append(np.where(part.session >= 0, part.session + conversations, ABSENT))
            before.append(np.where(part.after_id >= 0, part.after_id + rows, ABSENT))
            think.append(part.think_ns)
            rows += len(part.session)
            conversations += int(part.session.max(initial=ABSENT)) + 1
        return cls(np.concatenate(sessions), np.concatenate(before), np.concatenate(think))

    @property
    def waits(self) -> Flags:
        """Which requests are part of a closed loop, and arrive when another one has ended."""
        return np.asarray(self.think_ns >= 0)

    def at(self, positions: Column) -> Self:
        """The requests at these positions, in this order.

        A request whose predecessor is left out follows the predecessor of that one. A request that now stands before
        its predecessor begins a conversation.
        """
        place = np.full(len(self.session), ABSENT, dtype=np.int64)
        place[positions] = np.arange(len(positions))
        before, waits = self.after_id[positions], self.waits[positions]
        while (lost := (before >= 0) & (place[before] < 0)).any():
            # A request cannot wait in the place of one that did not: that one's arrival began the whole loop.
            waits = waits & (~lost | self.waits[before])
            before = np.where(lost, self.after_id[before], before)
        before = np.where(before >= 0, place[before], ABSENT)
        before = np.where(before < np.arange(len(positions)), before, ABSENT)
        return type(self)(
            self.session[positions], before, np.where(waits & (before >= 0), self.think_ns[positions], ABSENT)
        )

    @property
    def pauses_s(self) -> float:
        """The sum of all think times."""
        return float(self.think_ns[self.waits].sum(dtype=np.float64)) / NS

    def loops_alone(self) -> Self:
        """The same closed loops; requests that continue a conversation without waiting leave it."""
        waits = self.waits
        within = waits.copy()
        within[self.after_id[waits]] = True
        return type(self)(np.where(within, self.session, ABSENT), np.where(waits, self.after_id, ABSENT), self.think_ns)

    def first_of_loop(self) -> Column:
        """For each request the position of the first one of its closed loop; its own if it does not wait."""
        first = np.where(self.waits, self.after_id, np.arange(len(self.session)))
        while (further := self.waits[first]).any():
            first = np.where(further, first[first], first)  # each pass doubles the distance
        return np.asarray(first)

    def fault(self, arrival_ns: Column) -> int | None:
        """The position of the first request that no trace may hold, or None.

        Such a request follows itself or a later one, waits without a predecessor, or has another arrival than the
        request that it waits for.
        """
        own = np.arange(len(self.session))
        wrong = (self.after_id < ABSENT) | (self.after_id >= own) | (self.think_ns < ABSENT) | (self.session < ABSENT)
        wrong |= self.waits & (self.after_id < 0)
        wrong |= self.waits & ~wrong & (arrival_ns[np.where(wrong, 0, self.after_id)] != arrival_ns)
        return int(wrong.argmax()) if wrong.any() else None
