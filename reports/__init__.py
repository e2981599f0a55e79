"""Reports on runs: the verdict, tables and pages. They read run records and nothing else."""

from .comparison.html import render, write_report
from .judging.study import ABLATION_FOLDER, Study, read_study
from .judging.table import ReportTable, comparison_table
from .judging.verdict import Verdict, verdict
from .validation.validation import Validation, as_table, validate, write_validation

__all__ = [
    "ABLATION_FOLDER",
    "ReportTable",
    "Study",
    "Validation",
    "Verdict",
    "as_table",
    "comparison_table",
    "read_study",
    "render",
    "validate",
    "verdict",
    "write_report",
    "write_validation",
]
