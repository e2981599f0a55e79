"""RAGPulse's trace: one JSON object per row, times in whole seconds as text; two streams one after the other.

Its `hash_ids` are five lists of chunks whose sizes are in other files. They are not prefix blocks, and are ignored.
"""

import re
from dataclasses import replace

from .columns import Columns
from .file import TraceFile
from .reader import json_lines_reader, keys_of_first_line

_TIME_AS_TEXT = re.compile(rb'"timestamp"\s*:\s*"')
_COLUMNS = Columns(prompt="input_length", output="output_length", time="timestamp", session="session_id")
_LINES = json_lines_reader("ragpulse", _COLUMNS, max_new_tokens=4_096)


def _recognises(file: TraceFile) -> bool:
    """Whether the time is text: that distinguishes RAGPulse's seconds from Mooncake's milliseconds."""
    has_keys = set(_COLUMNS.required) <= keys_of_first_line(file)
    return has_keys and _TIME_AS_TEXT.search(file.first_line) is not None


READER = replace(
    _LINES, looks_like=f'{_LINES.looks_like}, each timestamp text ("82") in seconds', recognises=_recognises
)
