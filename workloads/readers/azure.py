"""Azure LLM inference traces: ISO times, with or without zone and fraction; columns by name."""

import numpy as np

from .raw import RawRows, header_of, read_csv

COLUMNS = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]
LOOKS_LIKE = f"CSV with {','.join(COLUMNS)}"


def recognises(text: bytes) -> bool:
    """By its column names; others may stand among them."""
    return set(COLUMNS) <= set(header_of(text))


def read(text: bytes) -> RawRows:
    """Times to the nanosecond; those without a zone are taken as UTC."""
    import pandas as pd

    rows = read_csv(text, COLUMNS)
    times = pd.to_datetime(rows.text["TIMESTAMP"].str.strip(), format="ISO8601", utc=True, errors="coerce")
    known = times.notna().to_numpy()
    stamps = times.dt.tz_localize(None).to_numpy().astype("datetime64[ns]").astype(np.int64)
    return RawRows(
        row=rows.row,
        prompt=rows.numbers("ContextTokens"),
        output=rows.numbers("GeneratedTokens"),
        time_ns=np.where(known, stamps, 0),
        time_known=known,
        unreadable=rows.unreadable,
    )
