"""What came out: verdict, table and the HTML page. Reads run records and nothing else."""

from .comparison.html import render, write_report
from .judging.study import LADDER, Study, read_study
from .judging.table import Table, comparison
from .judging.verdict import Verdict, verdict
from .validation.validation import Validation, as_table, validate, write_validation

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
