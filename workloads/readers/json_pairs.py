"""A JSON list of [prompt, output] pairs."""

from array import array
from collections.abc import Iterator

import msgspec
import numpy as np

from ...errors import quoted
from .file import TraceFile
from .json_table import DOCUMENT_LIMIT_BYTES, decoded
from .raw import RawRows
from .reader import Reader

_decode = msgspec.json.Decoder(list[msgspec.Raw]).decode
_pair = msgspec.json.Decoder(tuple[float, float]).decode


def _recognises(file: TraceFile) -> bool:
    """Whether the file is a list whose first element is a list."""
    start = file.head.text.lstrip()
    return start[:1] == b"[" and start[1:].lstrip()[:1] in (b"[", b"]")


def _read(file: TraceFile) -> Iterator[RawRows]:
    """Lengths only. Rows are elements of the list, counted from 1. A truncated file is read to its last whole pair."""
    text = file.whole(DOCUMENT_LIMIT_BYTES)
    elements = decoded(_decode, text)
    cut = []
    if elements is None:
        whole, _, rest = text.rpartition(b"]")
        elements = decoded(_decode, whole + b"]]") or []
        cut = [(len(elements) + 1, _rest(rest))]
    rows, lengths, unreadable = array("q"), array("d"), []
    for number, element in enumerate(elements, 1):
        pair = decoded(_pair, element)
        if pair is None:
            unreadable.append((number, quoted(element)))
        else:
            rows.append(number)
            lengths.extend(pair)
    prompt, output = np.array(lengths).reshape(-1, 2).T
    yield RawRows(np.array(rows), prompt, output, unreadable=unreadable + cut)


def _rest(text: bytes) -> str:
    left = text.strip(b", \n")
    return quoted(left) if left else "the end of the list is missing"


READER = Reader(
    "json-pairs",
    looks_like="a JSON list of pairs, prompt and output",
    max_new_tokens=4_096,
    recognises=_recognises,
    read=_read,
)
