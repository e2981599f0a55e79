"""Azure's LLM inference traces of 2023, 2024 and 2025: dates with or without fraction and zone.

The later ones have more columns (`NumImages`; others add a `Deadline`), which are passed over.
"""

from .columns import CALENDAR, Columns
from .reader import csv_reader

COLUMNS = Columns(prompt="ContextTokens", output="GeneratedTokens", time="TIMESTAMP", unit=CALENDAR)
READER = csv_reader("azure", COLUMNS, max_new_tokens=1_000)
