"""BurstGPT's traces: seconds from the first day on; the third release adds conversations among the columns.

The conversation is empty on all rows that came by the API, which is nearly all. Failed requests have no output.
"""

from .columns import Columns
from .reader import csv_reader

READER = csv_reader(
    "burstgpt",
    Columns(
        prompt="Request tokens",
        output="Response tokens",
        time="Timestamp",
        total="Total tokens",
        session="Session ID",
    ),
    max_new_tokens=16_384,
)
