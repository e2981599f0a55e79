"""Mooncake's traces: one JSON object a row, times in milliseconds; and the dialect of them that aiperf replays.

There a row may lack its time: a turn of a conversation that comes a `delay` after the one before it was answered, or
any row of a file whose first row has no time. A prompt that is given as `text_input` has no number of tokens.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..trace_file import TraceFile
from .json_table import JsonTable
from .raw import Flags, Integers, RawRows, SessionNumbers, Turns, to_ns
from .reader import Reader, keys_of_first_line
from .tables import Cells, Wanted

_WANTED = Wanted(("timestamp", "input_length", "output_length", "delay"), labels=("session_id",))
_MS = 10**6
_LATEST_NS = 9 * 10**18


def _recognises(file: TraceFile) -> bool:
    keys = keys_of_first_line(file)
    return "output_length" in keys and bool({"input_length", "text_input"} & keys)


def _read(file: TraceFile) -> Iterator[RawRows]:
    conversations, has_times = _Conversations(), None
    for cells in JsonTable(file).cells(_WANTED):
        if has_times is None and len(cells.row):
            has_times = not np.isnan(cells.numbers["timestamp"][0])
        time_ns, known = to_ns(cells.numbers["timestamp"], _MS)
        turns, from_turn = conversations.follow(cells, time_ns, known)
        yield RawRows(
            row=cells.row,
            prompt=cells.numbers["input_length"],
            output=cells.numbers["output_length"],
            time_ns=time_ns if has_times else None,
            time_known=known,
            time_from_turn=from_turn,
            turns=turns,
            unreadable=cells.unreadable,
        )


class _Turn(NamedTuple):
    row: int
    time_ns: int | None


class _Conversations:
    """The last turn so far of every conversation."""

    def __init__(self) -> None:
        self._numbers = SessionNumbers()
        self._last: dict[int, _Turn] = {}

    def follow(self, cells: Cells, time_ns: Integers, known: Flags) -> tuple[Turns, Flags]:
        """Who follows whom; and whose time was put in, which is the arrival of the turn before and the delay.

        When that turn is answered is not known before it is served: the time put in is the earliest that it could be.
        """
        session = self._numbers.of(cells.labels["session_id"])
        delay_ns, has_delay = to_ns(np.maximum(cells.numbers["delay"], 0), _MS)
        lacks_time = np.isnan(cells.numbers["timestamp"])
        after_row, from_turn = np.zeros(len(session), dtype=np.int64), np.zeros(len(session), dtype=bool)
        for i in np.flatnonzero(session >= 0).tolist():
            before = self._last.get(int(session[i]))
            if before is not None:
                after_row[i] = before.row
            if before is not None and before.time_ns is not None and lacks_time[i]:
                earliest_ns = before.time_ns + int(delay_ns[i])
                known[i] = from_turn[i] = earliest_ns < _LATEST_NS
                time_ns[i] = earliest_ns if known[i] else 0
            self._last[int(session[i])] = _Turn(int(cells.row[i]), int(time_ns[i]) if known[i] else None)
        return Turns(session, after_row, think_ns=np.where(has_delay, delay_ns, -1)), from_turn


READER = Reader(
    "mooncake",
    looks_like="JSON lines with input_length, output_length, and timestamp in ms where there are times",
    max_new_tokens=2_000,
    recognises=_recognises,
    read=_read,
)
