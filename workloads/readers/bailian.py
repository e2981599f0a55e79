"""Alibaba's Bailian traces: one JSON object per row, times in seconds, and for each request the one that it follows.

`hash_ids` are the prompt's blocks of 16 tokens; each id stands for a block together with all blocks before it.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from ..quantities import NS, to_ns
from .block_lists import block_ids, raw_blocks
from .file import TraceFile
from .json_table import JsonTable
from .raw import Integers, RawRows, RawTurns
from .reader import Reader, keys_of_first_line
from .tables import Wanted

_NUMBERS = ("timestamp", "input_length", "output_length")
_CHATS = ("chat_id", "parent_chat_id")
_NO_PARENT = "-1"
_BLOCKS, _BLOCK_TOKENS = "hash_ids", 16


def _read(file: TraceFile, *, prefix: bool = False) -> Iterator[RawRows]:
    chats = _Chats()
    for cells in JsonTable(file).cells(Wanted(_NUMBERS, labels=_CHATS, raw=(_BLOCKS,) if prefix else ())):
        time_ns, known = to_ns(cells.numbers["timestamp"], NS)
        yield RawRows(
            row=cells.row,
            prompt=cells.numbers["input_length"],
            output=cells.numbers["output_length"],
            time_ns=time_ns,
            time_known=known,
            turns=chats.turns(cells.row, *(cells.labels[name] for name in _CHATS)),
            blocks=raw_blocks(_BLOCK_TOKENS, [block_ids(text) for text in cells.raw[_BLOCKS]]) if prefix else None,
            unreadable=cells.unreadable,
        )


class _Chats:
    """Chats by id. A conversation is a chat without a parent, and all chats that follow it."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._sessions: dict[str, int] = {}
        self._count = 0

    def turns(self, rows: Integers, chats: list[str | None], parents: list[str | None]) -> RawTurns:
        sessions, after = [], []
        for row, chat, parent in zip(rows.tolist(), chats, parents, strict=True):
            known = parent is not None and parent != _NO_PARENT and parent in self._rows
            session = self._sessions[parent] if known and parent else self._count
            self._count += session == self._count
            sessions.append(session)
            after.append(self._rows[parent] if known and parent else 0)
            if chat is not None:
                self._rows[chat], self._sessions[chat] = row, session
        return RawTurns(np.array(sessions, dtype=np.int64), np.array(after, dtype=np.int64), np.full(len(rows), -1))


READER = Reader(
    "bailian",
    looks_like="JSON lines with chat_id, parent_chat_id, timestamp in s, input_length, output_length",
    max_new_tokens=8_192,
    recognises=lambda file: {*_NUMBERS, *_CHATS} <= keys_of_first_line(file),
    read=_read,
    read_prefix=partial(_read, prefix=True),
)
