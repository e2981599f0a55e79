"""Mooncake's traces: one JSON object a row, times in milliseconds."""

import msgspec
import numpy as np

from .raw import RawRows, seconds_to_ns

LOOKS_LIKE = 'JSON lines with "timestamp" in ms, "input_length", "output_length"'


class _Row(msgspec.Struct):
    timestamp: float
    input_length: float
    output_length: float


def recognises(text: bytes) -> bool:
    """By the keys of the first row."""
    first = text.lstrip().split(b"\n", 1)[0]
    return first.startswith(b"{") and all(f'"{key}"'.encode() in first for key in _Row.__struct_fields__)


def read(text: bytes) -> RawRows:
    """Keys that are not needed here (prefix hashes) are passed over."""
    decoder = msgspec.json.Decoder(_Row)
    numbers, rows, unreadable = [], [], []
    for number, line in enumerate(text.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = decoder.decode(line)
        except msgspec.MsgspecError:
            unreadable.append((number, line.decode().strip()))
            continue
        numbers.append(number)
        rows.append((row.timestamp, row.input_length, row.output_length))
    columns = np.array(rows, dtype=np.float64).reshape(-1, 3)
    time_ns, known = seconds_to_ns(columns[:, 0] / 1e3)
    return RawRows(
        row=np.array(numbers, dtype=np.int64),
        prompt=columns[:, 1],
        output=columns[:, 2],
        time_ns=time_ns,
        time_known=known,
        unreadable=unreadable,
    )
