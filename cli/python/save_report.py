"""`wg.report`: a report of runs, comparisons and sweeps, as a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from ...errors import InvalidScenario
from ...records import Run
from ...reports import Study, read_study, write_report
from ...reports.comparison.markdown import render_markdown
from ...reports.page.page import write_page
from ..outputs import REPORT_SUFFIXES, check_suffix, report_form
from .comparison import Comparison
from .inputs import check_type
from .sweep_rates import SweepResult

Reportable = Run | Comparison | SweepResult | str | Path
"""A run, a comparison, a sweep, or a folder that a command wrote."""


def save_report(results: Reportable | Sequence[Reportable], path: str | Path) -> Path:
    """Write a report and return its path. A file that is there is replaced.

    Args:
        results: what to show: one of `Reportable`, or a list.
        path: ends in .html or .htm (the whole report in one file), or in .md or .markdown (a short one). A name without
            a suffix is HTML.

    Raises:
        OutputRefused: the path ends in something else, or cannot be written.
        InvalidRun: a folder cannot be read.
        InvalidScenario: there is nothing to show, or it is no result.
    """
    check_type("path", path, (str, Path), "the file to write, such as 'report.html'")
    path = Path(path)
    form = report_form(path)
    check_suffix(path, "report", *REPORT_SUFFIXES["html"], *REPORT_SUFFIXES["md"])
    several = isinstance(results, Sequence) and not isinstance(results, str)
    study = _study_of(list(cast(Sequence[Reportable], results)) if several else [cast(Reportable, results)])
    if form == "md":
        write_page(render_markdown(study), path)
    else:
        write_report(study, path)
    return path


def _study_of(results: list[Reportable]) -> Study:
    if not results:
        raise InvalidScenario("there is nothing to report: give a run, a comparison, a sweep or a folder")
    folders = [Path(each) for each in results if isinstance(each, str | Path)]
    parts = [read_study(folders)] if folders else []
    parts += [_part_of(each) for each in results if not isinstance(each, str | Path)]
    if len(parts) == 1:
        return parts[0]
    return Study.of(
        [run for part in parts for run in part.runs],
        [seeds for part in parts for seeds in part.replicates],
        [run for part in parts for run in part.ablation],
        [sweep for part in parts for sweep in part.sweeps],
    )


def _part_of(result: Run | Comparison | SweepResult) -> Study:
    match result:
        case Run():
            return Study.of([result])
        case Comparison():
            return result.study
        case SweepResult():
            return Study.of([], sweeps=[result.record])
    raise InvalidScenario(f"cannot report on a {type(result).__name__}: give a run, a comparison, a sweep or a folder")
