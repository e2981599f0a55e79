"""Length files of the etalon, Sarathi-Serve and Vidur family."""

from .raw import RawRows, header_of, read_csv

COLUMNS = ["num_prefill_tokens", "num_decode_tokens"]
LOOKS_LIKE = f"CSV with {','.join(COLUMNS)}"


def recognises(text: bytes) -> bool:
    """By its column names."""
    return set(COLUMNS) <= set(header_of(text))


def read(text: bytes) -> RawRows:
    """Lengths only."""
    rows = read_csv(text, COLUMNS)
    return RawRows(
        row=rows.row,
        prompt=rows.numbers("num_prefill_tokens"),
        output=rows.numbers("num_decode_tokens"),
        unreadable=rows.unreadable,
    )
