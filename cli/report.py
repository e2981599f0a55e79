"""The command that lays runs side by side: `report`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import OutputRefused
from . import terminal
from .help import examples, option
from .options import RESULTS, ForceOption, output_option
from .outputs import REPORT_SUFFIXES, check_output, report_form

EXAMPLES = examples(
    "warpgroup report warpgroup-runs/001 -o report.html",
    "warpgroup report warpgroup-runs/001 --format md",
)


class _Form(StrEnum):
    """What a report is written as."""

    HTML = "html"
    MD = "md"


def report_command(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run folders, or folders of run folders.", metavar="RUN...", show_default=False),
    ],
    output: Annotated[
        Path | None, output_option("The file to write: .html or .md. Default: with --format md, stdout.")
    ] = None,
    form: Annotated[
        _Form | None,
        option(
            "--format",
            panel=RESULTS,
            help="html: the whole report in one file. md: a short one, for a pull request. Default: by the name of the "
            "file.",
        ),
    ] = None,
    perfetto: Annotated[
        Path | None,
        option(
            panel=RESULTS,
            metavar="FILE",
            help="Also write a trace of every step and request, for ui.perfetto.dev or chrome://tracing. It is "
            "compressed if its name ends in .gz.",
        ),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Lay runs side by side: as one HTML file, as Markdown, or as a trace for Perfetto."""
    if output is None and perfetto is None and form is not _Form.MD:
        raise OutputRefused("there is no file to write: give -o FILE, or --format md for Markdown on stdout")
    if output is not None and output == perfetto:
        raise OutputRefused(f"-o and --perfetto are both {output}: name two files")
    form = form or _Form(report_form(output) if output else "html")
    check_output(output, "-o", *REPORT_SUFFIXES[form.value], force=force)
    check_output(perfetto, "--perfetto", ".json", ".json.gz", force=force)
    _write(runs, form, output, perfetto)


def _write(runs: list[Path], form: _Form, output: Path | None, perfetto: Path | None) -> None:
    from ..reports import read_study, write_report
    from ..reports.comparison.markdown import render_markdown
    from ..reports.comparison.perfetto import write_perfetto
    from ..reports.page.page import write_page

    study = read_study(runs)
    if perfetto is not None:
        write_perfetto(study.runs, perfetto)
        terminal.show_path("trace", perfetto)
    if output is None:
        if form is _Form.MD:
            print(render_markdown(study), end="")
        return
    if form is _Form.MD:
        write_page(render_markdown(study), output)
    else:
        write_report(study, output)
    terminal.show_path("report", output)
