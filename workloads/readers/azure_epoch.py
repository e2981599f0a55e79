"""Azure's traces as other projects publish them: the same header, with times in whole milliseconds since 1970."""

from dataclasses import replace

import numpy as np

from .azure import COLUMNS as AZURE
from .columns import rows_of
from .csv_table import CsvTable, first_row_of
from .file import TraceFile
from .reader import Reader, has_columns
from .tables import number_of

_COLUMNS = replace(AZURE, unit="ms")


def _recognises(file: TraceFile) -> bool:
    return has_columns(file, AZURE) and not np.isnan(number_of(first_row_of(file).get("TIMESTAMP", "")))


READER = Reader(
    "azure-epoch",
    looks_like=f"CSV with {','.join(AZURE.required)}, each TIMESTAMP a number of milliseconds",
    max_new_tokens=1_000,
    recognises=_recognises,
    read=lambda file: rows_of(CsvTable(file), _COLUMNS),
)
