"""BurstGPT as JSON lines, with the names of its normalised sample on Hugging Face."""

from .columns import Columns
from .reader import json_lines_reader

READER = json_lines_reader(
    "burstgpt-lines",
    Columns(prompt="input_tokens", output="output_tokens", time="request_arrival_ts_s", total="total_tokens"),
    max_new_tokens=16_384,
)
