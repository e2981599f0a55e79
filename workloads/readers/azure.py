"""Azure's LLM inference traces of 2023, 2024 and 2025: dates with or without fraction and zone.

Later ones have more columns (`NumImages`, `Deadline`), which are ignored.
"""

from .columns import CALENDAR, Columns
from .reader import csv_reader

COLUMNS = Columns(prompt="ContextTokens", output="GeneratedTokens", time="TIMESTAMP", unit=CALENDAR)
READER = csv_reader("azure", COLUMNS, max_new_tokens=1_000)
