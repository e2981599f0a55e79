"""What came out: verdict, table and the HTML page. Reads run records and nothing else."""

from .html import render, write_report
from .table import Table, comparison
from .verdict import Verdict, verdict

__all__ = ["Table", "Verdict", "comparison", "render", "verdict", "write_report"]
