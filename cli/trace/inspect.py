"""The commands that look at a trace: `trace inspect` and `trace validate`."""

from pathlib import Path
from typing import Annotated

import typer

from ...workloads import ModelSpec, Trace, load_model, summarize_trace
from ...workloads.readers import READERS
from .. import terminal
from ..help import examples, option
from ..options import RESULTS, ForceOption, JsonOption, MaxNewOption
from ..outputs import check_output
from ..tables.traces import show_trace
from .reading import ColumnsOption, FileArgument, Reading, StrictOption, UnitOption, ZeroOutputsOption

_FORMATS = "Formats:\n\n" + "\n\n".join(f"{reader.name}: {reader.looks_like}" for reader in READERS)
INSPECT_EXAMPLES = "\n\n".join(
    [
        _FORMATS,
        examples(
            "warpgroup trace inspect requests.csv",
            "warpgroup trace inspect requests.csv --model llama-3.1-8b --html trace.html",
        ),
    ]
)
VALIDATE_EXAMPLES = examples(
    "warpgroup trace validate requests.csv",
    "warpgroup trace validate requests.csv --zero-outputs prefill-only",
)


def inspect_command(
    file: FileArgument,
    model: Annotated[
        str | None,
        option(panel=RESULTS, metavar="NAME", help="Also count the requests that exceed this model's context."),
    ] = None,
    max_new_tokens: MaxNewOption = None,
    columns: ColumnsOption = None,
    time_unit: UnitOption = None,
    zero_outputs: ZeroOutputsOption = "drop",
    strict: StrictOption = False,
    html: Annotated[
        Path | None, option("--html", panel=RESULTS, metavar="FILE", help="Also write a page with figures.")
    ] = None,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Show what a trace file holds: lengths, arrivals, conversations, shared prefixes, and rows that cannot be used."""
    check_output(html, "--html", ".html", ".htm", force=force)
    spec = load_model(model) if model else None
    trace = Reading(max_new_tokens, columns, time_unit, zero_outputs, strict).read(file)
    summary = summarize_trace(trace)
    over = _over_context(trace, spec) if spec else None
    if html is not None:
        from ...reports.trace.page import write_trace_page

        write_trace_page(trace, html, spec)
        terminal.show_path("page", html)
    if json:
        terminal.print_json({"source": trace.source, "summary": summary, "over_context": over})
        return
    terminal.note_trace(trace)
    show_trace(summary)
    if spec and over is not None:
        terminal.print_lines(f"{over:,} requests ({over / len(trace):.1%}) exceed the context of {spec.name}")


def validate_trace_command(
    file: FileArgument,
    max_new_tokens: MaxNewOption = None,
    columns: ColumnsOption = None,
    time_unit: UnitOption = None,
    zero_outputs: ZeroOutputsOption = "drop",
) -> None:
    """Check a trace file. Exit code 1 if a row cannot be used as it is."""
    trace = Reading(max_new_tokens, columns, time_unit, zero_outputs).read(file)
    terminal.note_trace(trace)
    if trace.source.dropped or trace.source.repaired:
        raise typer.Exit(1)


def _over_context(trace: Trace, model: ModelSpec) -> int:
    return int((trace.prompt_tokens + trace.output_tokens > model.context_tokens).sum())
