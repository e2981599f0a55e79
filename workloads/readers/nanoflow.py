"""NanoFlow's length files: Azure's header, with the literal text XXX in place of times."""

from dataclasses import replace

from .azure import COLUMNS as AZURE
from .columns import rows_of
from .csv_table import CsvTable, first_row_of
from .file import TraceFile
from .reader import Reader, has_columns

_COLUMNS = replace(AZURE, time=None)


def _recognises(file: TraceFile) -> bool:
    return has_columns(file, AZURE) and first_row_of(file).get("TIMESTAMP", "").strip() == "XXX"


READER = Reader(
    "nanoflow",
    looks_like=f"CSV with {','.join(AZURE.required)}, each TIMESTAMP the literal XXX",
    max_new_tokens=2_048,
    recognises=_recognises,
    read=lambda file: rows_of(CsvTable(file), _COLUMNS),
)
