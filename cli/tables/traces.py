"""What a trace is like, and how near a fitted model is to it."""

from typing import TYPE_CHECKING

from rich.table import Table

from ...workloads import TraceSummary
from ..terminal import print_lines, stdout

if TYPE_CHECKING:
    from ...workloads import FitReport

_FITTED = {
    "turns": "turns of a session",
    "first_prompt": "first prompt of a session",
    "growth": "growth of the prompt from turn to turn",
    "think_s": "think time between turns",
}


def show_trace(summary: TraceSummary) -> None:
    """Lengths, arrivals, conversations and shared prefixes of a trace."""
    from ...reports.trace.text import trace_text

    table = Table(box=None, pad_edge=False)
    for head in ("tokens", "mean", "p50", "p95", "p99", "max"):
        table.add_column(head, justify="left" if head == "tokens" else "right")
    for name in ("prompt", "output", "total"):
        lengths = getattr(summary, f"{name}_tokens")
        figures = (lengths.mean, lengths.p50, lengths.p95, lengths.p99, lengths.max)
        table.add_row(name, *(f"{figure:,.0f}" for figure in figures))
    stdout.print(table)
    correlation = "" if summary.correlation is None else f", correlation with prompts {summary.correlation:.2f}"
    print_lines(f"output is {summary.output_share:.1%} of all tokens{correlation}", *trace_text(summary))


def show_fit(report: "FitReport") -> None:
    """How far the model's traces are from the real one."""
    sessions = f" in {report.sessions:,} sessions" if report.sessions else ""
    title = f"{report.requests:,} requests{sessions}, {report.components} components"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("figure")
    for name in ("trace", "model", "distance (KS)"):
        table.add_column(name, justify="right")
    for kind, distance in report.ks.items():
        table.add_row(_FITTED.get(kind, f"{kind} tokens"), "", "", f"{distance:.3f}")
    correlations = ("-" if value is None else f"{value:.2f}" for value in report.spearman)
    table.add_row("rank correlation of prompt and output", *correlations, "")
    _add_arrivals(table, report)
    stdout.print(table)
    print_lines(*(f"- {remark}" for remark in (report.arrivals.chosen.remarks if report.arrivals else ())))


def _add_arrivals(table: Table, report: "FitReport") -> None:
    arrivals = report.arrivals
    if not arrivals:
        return
    chosen = arrivals.chosen
    kind = type(chosen.process).__name__.lower()
    what = "session starts" if report.sessions else "arrivals"
    table.add_row(f"gaps between {what}: {kind}, CV", f"{arrivals.cv:.2f}", f"{chosen.cv:.2f}", f"{chosen.ks:.3f}")
    for window, value in arrivals.idc.items():
        model = f"{chosen.idc[window]:.2f}" if window in chosen.idc else "-"
        table.add_row(f"index of dispersion over {window}", f"{value:.2f}", model, "")
