"""NanoFlow's length files: Azure's header over the literal time XXX."""

from .azure import COLUMNS
from .azure import recognises as has_azure_header
from .raw import RawRows, read_csv

LOOKS_LIKE = f"CSV with {','.join(COLUMNS)}, each TIMESTAMP the literal XXX"


def recognises(text: bytes) -> bool:
    """By the header and the first row's time."""
    return has_azure_header(text) and b"XXX" in text.lstrip().partition(b"\n")[2].lstrip().split(b"\n", 1)[0].split(
        b","
    )


def read(text: bytes) -> RawRows:
    """Lengths only."""
    rows = read_csv(text, COLUMNS)
    return RawRows(
        row=rows.row,
        prompt=rows.numbers("ContextTokens"),
        output=rows.numbers("GeneratedTokens"),
        unreadable=rows.unreadable,
    )
