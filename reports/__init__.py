"""What came out: verdict, table and the HTML page. Reads run records and nothing else."""

from .html import render, write_report
from .study import LADDER, Study, read_study
from .table import Table, comparison
from .validation import Validation, as_table, validate, write_validation
from .verdict import Verdict, verdict

__all__ = [
    "LADDER",
    "Study",
    "Table",
    "Validation",
    "Verdict",
    "as_table",
    "comparison",
    "read_study",
    "render",
    "validate",
    "verdict",
    "write_report",
    "write_validation",
]
