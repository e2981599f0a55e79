"""Weka's sessions of coding agents: one JSON object a session, alone in a file or one a line.

They are a closed loop: a request comes `think_time` after the answer to the one before it, and when a session begins
nobody says. So they have lengths and turns, but no arrivals. A subagent's requests stand within its entry; they are
turns of its own, after the request that stands before it. A row is a request, counted through the file.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from ..trace_file import LONGEST_LINE_BYTES, TraceFile
from .json_table import decoded, shown
from .raw import RawRows, RawTurns, to_ns
from .reader import Reader, keys_of_first_lines

_DEEPEST = 8
_ROWS_AT_ONCE = 50_000


class _Entry(msgspec.Struct):
    """A request, or a subagent with requests of its own."""

    prompt: float | None = msgspec.field(default=None, name="in")
    output: float | None = msgspec.field(default=None, name="out")
    think_time: float | None = None
    requests: list[msgspec.Raw] | None = None


class _Session(msgspec.Struct):
    requests: list[msgspec.Raw]


_session = msgspec.json.Decoder(_Session).decode
_entry = msgspec.json.Decoder(_Entry, strict=False).decode


def _recognises(file: TraceFile) -> bool:
    return {"requests", "t", "in"} <= keys_of_first_lines(file)


def _read(file: TraceFile) -> Iterator[RawRows]:
    rows = _Rows()
    for text in _sessions(file):
        rows.add_session(text)
        if rows.count >= _ROWS_AT_ONCE:
            yield rows.taken()
    yield rows.taken()


def _sessions(file: TraceFile) -> Iterator[bytes]:
    """The text of every session."""
    if not file.first_line.endswith(b"}"):
        yield file.whole(LONGEST_LINE_BYTES)
        return
    for block in file.blocks():
        for line in block.text.split(b"\n"):
            if line and not line.isspace():
                yield line


class _Rows:
    """Requests in order, as they pile up."""

    def __init__(self) -> None:
        self._row = 0
        self._session = -1
        self._start_anew()

    def _start_anew(self) -> None:
        self._columns: list[tuple[int, float | None, float | None, float | None, int, int]] = []
        self._unreadable: list[tuple[int, str]] = []

    @property
    def count(self) -> int:
        return len(self._columns) + len(self._unreadable)

    def add_session(self, text: bytes) -> None:
        """All requests of a session; one that cannot be read counts as a row."""
        session = decoded(_session, text)
        if session is None:
            self._refuse(text)
            return
        self._session += 1
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

    def _refuse(self, text: Any) -> None:
        self._row += 1
        self._unreadable.append((self._row, shown(text)))

    def taken(self) -> RawRows:
        """What has piled up, as columns."""
        columns = np.array(self._columns, dtype=np.float64).reshape(-1, 6).T
        row, prompt, output, think_s, session, before = columns
        think_ns, has_think = to_ns(think_s, 10**9)
        # Some say nothing of the pause: then there was none that anybody measured.
        think_ns = np.where(before > 0, np.where(has_think, np.maximum(think_ns, 0), 0), -1)
        turns = RawTurns(session.astype(np.int64), before.astype(np.int64), think_ns)
        rows = RawRows(row.astype(np.int64), prompt, output, turns=turns, unreadable=self._unreadable)
        self._start_anew()
        return rows


READER = Reader(
    "weka",
    looks_like="JSON lines of sessions with requests, each with t, in, out",
    max_new_tokens=32_768,
    recognises=_recognises,
    read=_read,
)
