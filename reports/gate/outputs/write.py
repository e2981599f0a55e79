"""Writes the outputs of a gate that the command line asks for."""

import os
from dataclasses import dataclass
from pathlib import Path

from ....errors import OutputRefused
from .. import history as past
from ..result import GateResult
from .junit import junit_xml
from .markdown import COMMENT_BYTES, SUMMARY_BYTES, result_markdown
from .page import write_gate_page


@dataclass(frozen=True, slots=True)
class OutputFiles:
    """The files to write; None: not wanted. Markdown and the history are appended to."""

    html: Path | None = None
    junit: Path | None = None
    markdown: Path | None = None
    json: Path | None = None
    history: Path | None = None

    def refuse_unwritable(self) -> None:
        """Raises OutputRefused: a path is a folder, or its folder is missing."""
        for path in (self.html, self.junit, self.markdown, self.json, self.history):
            if path and path.is_dir():
                raise OutputRefused(f"cannot write {path}: it is a folder; name a file")
            if path and not path.parent.is_dir():
                raise OutputRefused(f"cannot write {path}: its folder does not exist; create it")

    def write(self, result: GateResult) -> None:
        """Write all of them. Raises OutputRefused."""
        try:
            if self.junit:
                self.junit.write_bytes(junit_xml(result))
            if self.markdown:
                _append_markdown(result, self.markdown)
            if self.json:
                result.save(self.json)
        except OSError as error:
            raise OutputRefused(f"cannot write {error.filename}: {error.strerror}") from None
        if self.history:
            past.append_result(self.history, result)
        if self.html:
            write_gate_page(result, past.read_history(self.history) if self.history else [], self.html)


def _append_markdown(result: GateResult, path: Path) -> None:
    """Append, because all steps of a GitHub job share one summary file."""
    is_summary = str(path) == os.environ.get("GITHUB_STEP_SUMMARY")
    with path.open("a", encoding="utf-8") as file:
        file.write(result_markdown(result, limit_bytes=SUMMARY_BYTES if is_summary else COMMENT_BYTES))
