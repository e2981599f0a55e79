"""BurstGPT's traces: times in seconds from the first day; the third release adds a column of conversations.

Nearly all rows came through the API, and have an empty conversation. Failed requests have an output of 0 tokens.
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
