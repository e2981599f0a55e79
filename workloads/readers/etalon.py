"""Length files of etalon, Sarathi-Serve and Vidur."""

from .columns import Columns
from .reader import csv_reader

READER = csv_reader(
    "etalon",
    Columns(prompt="num_prefill_tokens", output="num_decode_tokens", total="num_total_tokens"),
    max_new_tokens=4_096,
)
