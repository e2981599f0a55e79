"""Tables as JSON: one object per line, or one list of objects."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec
import numpy as np

from ...errors import InvalidTrace, quoted
from .file import Block, TraceFile
from .tables import Cells, Wanted, calendar_times, number_of

DOCUMENT_LIMIT_BYTES = 64 << 20
"""A document must fit in memory, where its objects take many times its bytes."""
_NOTHING = msgspec.Raw()
_written = msgspec.json.Decoder(str).decode
_SAMPLED_ROWS = 100
_SAMPLED_CHARACTERS = 1 << 16


class JsonTable:
    """A file of JSON objects. Keys that are not wanted are skipped; a wanted key that an object lacks becomes NaN."""

    def __init__(self, file: TraceFile) -> None:
        self._file = file
        self._sample = _objects(self._sampled())
        self.names = list(dict.fromkeys(name for row in self._sample for name in row))

    def is_calendar_time(self, name: str) -> bool:
        """Whether the first row has a date, not a number, in that column."""
        first = next((decoded(_written, row[name]) for row in self._sample if name in row), None)
        return first is not None and np.isnan(number_of(first)) and bool(calendar_times([first])[1][0])

    def cells(self, wanted: Wanted) -> Iterator[Cells]:
        """The rows, a block of lines at a time. They can be read once."""
        decode = _decoder(self._file, wanted)
        if is_document(self._file):
            yield _cells(enumerate(_elements(self._file), 1), decode, wanted)
            return
        for block in self._file.blocks():
            yield _cells(_lines(block), decode, wanted)

    def _sampled(self) -> Iterator[Any]:
        if is_document(self._file):
            return iter([_first_object(self._file.head.text)])
        return (line for _, line in islice(_lines(self._file.head), _SAMPLED_ROWS))


def is_document(file: TraceFile) -> bool:
    """Whether the file is one list of objects, not one object per line."""
    return file.first_line.startswith(b"[")


def is_json(file: TraceFile) -> bool:
    """Whether the file begins with an object, or a list of objects."""
    start = file.head.text.lstrip()
    return start[:1] == b"{" or (start[:1] == b"[" and start[1:].lstrip()[:1] == b"{")


def decoded(decode: Callable[[Any], Any], text: Any) -> Any:
    """The decoded text; None where decoding fails in any way."""
    try:
        return decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _lines(block: Block) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, each with its number."""
    lines = enumerate(block.text.split(b"\n"), block.row)
    return ((number, line) for number, line in lines if line and not line.isspace())


def _elements(file: TraceFile) -> list[msgspec.Raw]:
    decode = msgspec.json.Decoder(list[msgspec.Raw]).decode
    elements: list[msgspec.Raw] | None = decoded(decode, file.whole(DOCUMENT_LIMIT_BYTES))
    if elements is None:
        raise InvalidTrace(f"{file.path} is not a complete JSON list: fetch it again, or write one object per line")
    return elements


def _first_object(text: bytes) -> str:
    """The first element of a list, from the first lines of its file; empty where it does not end there."""
    start = text.decode()
    start = start[start.find("{") :][:_SAMPLED_CHARACTERS]
    try:
        return start[: json.JSONDecoder().raw_decode(start)[1]]
    except (ValueError, RecursionError):
        return ""


def _objects(texts: Iterator[Any]) -> list[dict[str, msgspec.Raw]]:
    decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode  # raw, since a value may hold millions of objects
    return [row for row in (decoded(decode, text) for text in texts) if row is not None]


def _decoder(file: TraceFile, wanted: Wanted) -> Callable[[Any], Any]:
    """A decoder of one row, with columns in the order numbers, times, labels, raw. Numbers may be written as text."""
    columns: list[tuple[str, Any]] = [(name, float | None) for name in wanted.numbers]
    columns += [(name, Any) for name in (*wanted.times, *wanted.labels)]
    fields: list[tuple[str, Any, Any]] = [(f"field_{i}", kind, None) for i, (_, kind) in enumerate(columns)]
    fields += [(f"field_{i}", msgspec.Raw, _NOTHING) for i, _ in enumerate(wanted.raw, len(columns))]
    columns += [(name, msgspec.Raw) for name in wanted.raw]
    try:
        row = msgspec.defstruct("Row", fields, rename={f"field_{i}": name for i, (name, _) in enumerate(columns)})
    except ValueError:
        raise InvalidTrace(f"{file.path}: the name of a column has quotes or control characters: rename it") from None
    return msgspec.json.Decoder(row, strict=False).decode


def _cells(rows: Iterable[tuple[int, Any]], decode: Callable[[Any], Any], wanted: Wanted) -> Cells:
    numbers, kept, unreadable = [], [], []
    for number, text in rows:
        row = decoded(decode, text)
        if row is None:
            unreadable.append((number, quoted(text)))
        else:
            numbers.append(number)
            kept.append(row)

    def column(place: int) -> list[Any]:
        name = f"field_{place}"
        return [getattr(row, name) for row in kept]

    first_time = len(wanted.numbers)
    first_label = first_time + len(wanted.times)
    first_raw = first_label + len(wanted.labels)
    return Cells(
        row=np.array(numbers, dtype=np.int64),
        numbers={name: np.array(column(i), dtype=np.float64) for i, name in enumerate(wanted.numbers)},
        times={
            name: calendar_times([_text(each) or "" for each in column(i)])
            for i, name in enumerate(wanted.times, first_time)
        },
        labels={name: [_text(each) for each in column(i)] for i, name in enumerate(wanted.labels, first_label)},
        unreadable=unreadable,
        raw={name: column(i) for i, name in enumerate(wanted.raw, first_raw)},
    )


def _text(value: Any) -> str | None:
    """A label as text; it may be written as a number."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return str(value)
    return value if isinstance(value, str) else None
