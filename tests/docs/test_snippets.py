"""Every shell and Python block of README and docs runs, in the order of its page, or says why it does not."""

import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.paths import REPOSITORY

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
RUN = ("bash", "python")
"""Languages that run."""
SHOWN = ("text", "toml", "json", "csv", "cpp", "cmake")
"""Languages that are only shown."""
MARKS = ("needs a GPU", "needs a clone", "needs a download", "output")
"""What an HTML comment before a block may say: the block then does not run."""
NEEDS_TORCH = "needs PyTorch"
"""The block runs where PyTorch is installed."""
QUOTED = "file: "
"""What the comment before a quotation of a file says, followed by the file's path: the block is part of that file."""

BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>.+?) -->\n+)?(?P<fence>`{3,})(?P<language>\S*)[^\n]*\n(?P<code>.*?)^(?P=fence)$", re.M | re.S
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    language: str
    mark: str | None
    code: str
    line: int

    @property
    def runs(self) -> bool:
        """Whether the block runs here."""
        wanted = self.mark is None or (self.mark == NEEDS_TORCH and find_spec("torch") is not None)
        return self.language in RUN and wanted


def blocks_of(text: str) -> list[Block]:
    return [
        Block(each["language"], each["mark"], each["code"], text.count("\n", 0, each.start("fence")) + 1)
        for each in BLOCK.finditer(text)
    ]


def name_of(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_block_says_its_language_and_why_it_does_not_run(page):
    text = page.read_text(encoding="utf-8")
    blocks = blocks_of(text)
    assert len(re.findall(r"^`{3,}", text, re.M)) == 2 * len(blocks), "a fence is not closed, or is indented"
    for block in blocks:
        place = f"{name_of(page)}:{block.line}"
        assert block.language in (*RUN, *SHOWN), f"{place}: the language is '{block.language}'"
        known = block.mark in (None, NEEDS_TORCH, *MARKS) or block.mark.startswith(QUOTED)
        assert known, f"{place}: unknown mark '{block.mark}'"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_quoted_code_is_the_code_of_the_file(page):
    for block in blocks_of(page.read_text(encoding="utf-8")):
        if block.mark and block.mark.startswith(QUOTED):
            file = REPOSITORY / block.mark.removeprefix(QUOTED)
            assert block.code in file.read_text(encoding="utf-8"), f"{name_of(page)}:{block.line} is not {file.name}"


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """`warpgroup` and `python` of the interpreter that runs the tests, first on the path; an empty folder to run in."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, arguments in {"warpgroup": "-m warpgroup ", "python": ""}.items():
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(commands), prepend=":")
    folder = tmp_path / "page"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(each.runs for each in blocks_of(page.read_text("utf-8")))], ids=name_of
)
def test_blocks_run(page, commands):
    names = {"__name__": "__main__"}
    for block in blocks_of(page.read_text(encoding="utf-8")):
        if not block.runs:
            continue
        place = f"{name_of(page)}:{block.line}"
        if block.language == "python":
            exec(compile("\n" * block.line + block.code, page, "exec"), names)
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{place}:\n{block.code}\n{done.stdout}\n{done.stderr}"


def test_an_unknown_mark_and_a_block_without_a_language_are_found():
    text = "<!-- slow -->\n```bash\ntrue\n```\n\n```\nx\n```\n"
    assert [(block.language, block.mark, block.runs) for block in blocks_of(text)] == [
        ("bash", "slow", False),
        ("", None, False),
    ]
