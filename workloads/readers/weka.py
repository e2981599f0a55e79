"""Weka's sessions of coding agents: one JSON object per session, either one per line or one in the whole file.

Sessions are closed loops: a request arrives `think_time` after the answer to the one before it. The files do not say
when a session begins, so they have lengths and turns, but no arrivals. The requests of a subagent are in its entry;
they are turns of their own, after the request before that entry. Rows are requests, counted through the file.

`hash_ids` are the whole blocks of 64 tokens in a prompt. An id describes one block alone, within its session only; here
it is renumbered so that it stands for a block together with all blocks before it, throughout the file.
"""

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

import msgspec
import numpy as np

from ...errors import quoted
from ..quantities import NS
from .block_lists import block_ids, raw_blocks
from .file import LONGEST_LINE_BYTES, TraceFile
from .json_table import decoded
from .raw import Integers, RawRows, RawTurns, pauses_ns
from .reader import Reader, keys_of_first_lines

_DEEPEST = 8
_MOST_REQUESTS = 1_000_000
"""In a session, or in one of its subagents; real ones have thousands."""
_BLOCK_TOKENS = 64
_ROWS_AT_ONCE, _BLOCKS_AT_ONCE = 50_000, 1 << 20


class _Entry(msgspec.Struct):
    """A request, or a subagent that has requests of its own."""

    prompt: float | None = msgspec.field(default=None, name="in")
    output: float | None = msgspec.field(default=None, name="out")
    think_time: float | None = None
    requests: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=_MOST_REQUESTS)] | None = None
    hash_ids: msgspec.Raw = msgspec.Raw()


class _Session(msgspec.Struct):
    requests: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=_MOST_REQUESTS)]


_session = msgspec.json.Decoder(_Session).decode
_entry = msgspec.json.Decoder(_Entry, strict=False).decode


def _recognises(file: TraceFile) -> bool:
    return {"requests", "t", "in"} <= keys_of_first_lines(file)


def _read(file: TraceFile, *, prefix: bool = False) -> Iterator[RawRows]:
    rows = _Rows(_Chains() if prefix else None)
    for text in _sessions(file):
        rows.add_session(text)
        if rows.are_many:
            yield rows.taken()
    yield rows.taken()


def _sessions(file: TraceFile) -> Iterator[bytes]:
    """The text of each session."""
    if not file.first_line.endswith(b"}"):
        yield file.whole(LONGEST_LINE_BYTES)
        return
    for block in file.blocks():
        for line in block.text.split(b"\n"):
            if line and not line.isspace():
                yield line


class _Rows:
    """Collects requests in order, to be taken as columns."""

    def __init__(self, chains: "_Chains | None") -> None:
        self._chains = chains
        self._row = 0
        self._session = -1
        self._clear()

    def _clear(self) -> None:
        self._columns: list[tuple[int, float | None, float | None, float | None, int, int]] = []
        self._unreadable: list[tuple[int, str]] = []
        self._blocks: list[Integers | None] = []
        self._block_count = 0

    @property
    def are_many(self) -> bool:
        rows = len(self._columns) + len(self._unreadable)
        return rows >= _ROWS_AT_ONCE or self._block_count >= _BLOCKS_AT_ONCE

    def add_session(self, text: bytes) -> None:
        """Add all requests of a session. A session that cannot be read counts as one unreadable row."""
        session = decoded(_session, text)
        if session is None:
            self._refuse(text)
            return
        self._session += 1
        if self._chains is not None:
            self._chains.forget()
        self._add(session.requests, before=0, depth=0)

    def _add(self, texts: list[msgspec.Raw], before: int, depth: int) -> None:
        for text in texts:
            entry = decoded(_entry, text)
            if entry is None or depth > _DEEPEST:
                self._refuse(text)
            elif entry.requests is not None:
                self._add(entry.requests, before, depth + 1)
            else:
                self._row += 1
                lengths = (entry.prompt, entry.output, entry.think_time)
                self._columns.append((self._row, *lengths, self._session, before))
                before = self._row
                if self._chains is not None:
                    self._add_blocks(self._chains, entry.hash_ids)

    def _add_blocks(self, chains: "_Chains", text: msgspec.Raw) -> None:
        ids = block_ids(text)
        self._blocks.append(None if ids is None else chains.numbers(ids))
        self._block_count += 0 if ids is None else len(ids)

    def _refuse(self, text: Any) -> None:
        self._row += 1
        self._unreadable.append((self._row, quoted(text)))

    def taken(self) -> RawRows:
        """The collected requests as columns; the collection is empty afterwards."""
        columns = np.array(self._columns, dtype=np.float64).reshape(-1, 6).T
        row, prompt, output, think_s, session, before = columns
        # Some entries have no think time: then no pause was measured, and it counts as 0.
        pause_ns, wrong = pauses_ns(think_s, NS)
        think_ns = np.where(before > 0, pause_ns, -1)
        turns = RawTurns(session.astype(np.int64), before.astype(np.int64), think_ns, mended=wrong & (before > 0))
        blocks = None if self._chains is None else raw_blocks(_BLOCK_TOKENS, self._blocks)
        rows = RawRows(row.astype(np.int64), prompt, output, turns=turns, blocks=blocks, unreadable=self._unreadable)
        self._clear()
        return rows


class _Chains:
    """Numbers blocks through the file; two get the same number only if all blocks before them are equal too."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, int], int] = {}
        self._earlier = 0
        self._last = self._last_numbers = np.empty(0, dtype=np.int64)

    def forget(self) -> None:
        """Begin another session, where the same ids mean other blocks."""
        self._earlier += len(self._numbers)
        self._numbers.clear()
        self._last = self._last_numbers = np.empty(0, dtype=np.int64)

    def numbers(self, ids: Integers) -> Integers:
        """The numbers of one prompt's blocks. Most of them are in the prompt before it, and keep their numbers."""
        shortest = min(len(ids), len(self._last))
        differs = ids[:shortest] != self._last[:shortest]
        same = int(differs.argmax()) if differs.any() else shortest
        before = int(self._last_numbers[same - 1]) if same else -1
        others = []
        for each in ids[same:].tolist():
            before = self._numbers.setdefault((before, each), self._earlier + len(self._numbers))
            others.append(before)
        numbers = np.concatenate([self._last_numbers[:same], np.array(others, dtype=np.int64)])
        self._last, self._last_numbers = ids, numbers
        return numbers


READER = Reader(
    "weka",
    looks_like="JSON lines of sessions with requests, each with t, in, out",
    max_new_tokens=32_768,
    recognises=_recognises,
    read=_read,
    read_prefix=partial(_read, prefix=True),
)
