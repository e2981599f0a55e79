"""Vidur's traces: lengths, and times in seconds from the start."""

from .columns import Columns
from .reader import csv_reader

READER = csv_reader(
    "vidur", Columns(prompt="num_prefill_tokens", output="num_decode_tokens", time="arrived_at"), max_new_tokens=4_096
)
