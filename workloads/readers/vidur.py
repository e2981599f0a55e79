"""Vidur's traces: seconds from the start, and lengths."""

from .raw import RawRows, header_of, read_csv, seconds_to_ns

COLUMNS = ["arrived_at", "num_prefill_tokens", "num_decode_tokens"]
LOOKS_LIKE = f"CSV with {','.join(COLUMNS)}"


def recognises(text: bytes) -> bool:
    """By its column names."""
    return set(COLUMNS) <= set(header_of(text))


def read(text: bytes) -> RawRows:
    """Times are seconds, with a fraction."""
    rows = read_csv(text, COLUMNS)
    time_ns, known = seconds_to_ns(rows.numbers("arrived_at"))
    return RawRows(
        row=rows.row,
        prompt=rows.numbers("num_prefill_tokens"),
        output=rows.numbers("num_decode_tokens"),
        time_ns=time_ns,
        time_known=known,
        unreadable=rows.unreadable,
    )
