"""Mooncake's traces: one JSON object per row, times in milliseconds; and the dialect of them that aiperf replays.

In aiperf's dialect a row may have no time. Either it is a turn of a conversation, which arrives `delay` after the
answer to the turn before it; or the first row has no time, and then the file has no times at all. A prompt that is
given as `text_input` has no number of tokens. `hash_ids` are the prompt's blocks of 512 tokens (the last one may have
fewer); each id stands for a block together with all blocks before it.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from ..quantities import to_ns
from .block_lists import block_ids, raw_blocks
from .file import TraceFile
from .json_table import JsonTable
from .raw import Flags, Integers, RawRows, RawTurns, SessionNumbers, pauses_ns
from .reader import Reader, keys_of_first_line
from .tables import Cells, Wanted

_WANTED = Wanted(("timestamp", "input_length", "output_length", "delay"), labels=("session_id",))
_BLOCKS, _BLOCK_TOKENS = "hash_ids", 512
_MS = 10**6


def _recognises(file: TraceFile) -> bool:
    keys = keys_of_first_line(file)
    return "output_length" in keys and bool({"input_length", "text_input"} & keys)


def _read(file: TraceFile, *, prefix: bool = False) -> Iterator[RawRows]:
    conversations, has_times = _Conversations(), None
    for cells in JsonTable(file).cells(replace(_WANTED, raw=(_BLOCKS,)) if prefix else _WANTED):
        if has_times is None and len(cells.row):
            has_times = not np.isnan(cells.numbers["timestamp"][0])
        time_ns, known = to_ns(cells.numbers["timestamp"], _MS)
        turns = conversations.follow(cells, time_ns, known)
        yield RawRows(
            row=cells.row,
            prompt=cells.numbers["input_length"],
            output=cells.numbers["output_length"],
            time_ns=time_ns if has_times else None,
            time_known=known,
            turns=turns,
            blocks=raw_blocks(_BLOCK_TOKENS, [block_ids(text) for text in cells.raw[_BLOCKS]]) if prefix else None,
            unreadable=cells.unreadable,
        )


class _Turn(NamedTuple):
    row: int
    time_ns: int
    time_known: bool


class _Conversations:
    """The latest turn of every conversation so far."""

    def __init__(self) -> None:
        self._numbers = SessionNumbers()
        self._last: dict[int, _Turn] = {}

    def follow(self, cells: Cells, time_ns: Integers, known: Flags) -> RawTurns:
        """The turns of these rows. A turn without a time waits; its `time_ns` becomes that of the turn before it."""
        session = self._numbers.of(cells.labels["session_id"])
        delay_ns, wrong = pauses_ns(cells.numbers["delay"], _MS)
        lacks_time = np.isnan(cells.numbers["timestamp"])
        after_row, think_ns = np.zeros(len(session), dtype=np.int64), np.full(len(session), -1, dtype=np.int64)
        for i in np.flatnonzero(session >= 0).tolist():
            before = self._last.get(int(session[i]))
            if before is not None:
                after_row[i] = before.row
            if before is not None and lacks_time[i]:
                think_ns[i] = delay_ns[i]
                time_ns[i], known[i] = before.time_ns, before.time_known
            self._last[int(session[i])] = _Turn(int(cells.row[i]), int(time_ns[i]), bool(known[i]))
        return RawTurns(session, after_row, think_ns, mended=wrong & (think_ns >= 0))


READER = Reader(
    "mooncake",
    looks_like="JSON lines with input_length, output_length, and timestamp in ms where there are times",
    max_new_tokens=2_000,
    recognises=_recognises,
    read=_read,
    read_prefix=partial(_read, prefix=True),
)
