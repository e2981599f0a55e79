"""Checks of an output file, before any work is done."""

from pathlib import Path
from typing import Literal

from ..errors import FolderInUse, OutputRefused
from ..records import claim_folder, refuse_existing

ReportForm = Literal["html", "md"]

REPORT_SUFFIXES: dict[ReportForm, tuple[str, ...]] = {"html": (".html", ".htm"), "md": (".md", ".markdown")}
"""What the name of a report may end in, in capitals too."""


def check_output(output: Path | None, option: str, *suffixes: str, force: bool) -> None:
    """Refuse a file that exists, or whose suffix is that of another format.

    Args:
        output: None: the option was not given, and nothing is checked.
        suffixes: what the name may end in; a name without any suffix is allowed.

    Raises:
        OutputRefused: the suffix is another one, the file exists and `force` is false, or its folder is missing.
    """
    if output is None:
        return
    check_suffix(output, option, *suffixes)
    refuse_existing(output, option, force=force)


def claim_out(folder: Path, *, force: bool, resume: bool | None = None) -> None:
    """Make the folder of --out ready. Raises OutputRefused, naming the options that help.

    Args:
        resume: None: the command has no --resume.
    """
    try:
        claim_folder(folder, force=force, resume=bool(resume))
    except FolderInUse:
        more = "" if resume is None else ", or --resume to continue in it"
        raise FolderInUse(f"{folder} is not empty: choose another --out, or --force to overwrite it{more}") from None


def check_suffix(output: Path | None, option: str, *suffixes: str) -> None:
    """Raises OutputRefused: the name has a suffix that is none of these."""
    if output is None or not output.suffix or output.name.lower().endswith(suffixes):
        return
    found = "".join(output.suffixes[-2:]) if output.suffix.lower() == ".gz" else output.suffix
    raise OutputRefused(f"{option} {output}: expected a name that ends in {' or '.join(suffixes)}, not {found}")


def report_form(output: Path) -> ReportForm:
    """What a report of this name is written as: HTML, unless the suffix is one of Markdown."""
    return "md" if output.suffix.lower() in REPORT_SUFFIXES["md"] else "html"
