"""Names: each public name has one owner, and names that were given up do not come back."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest
from support.paths import REPOSITORY

PACKAGES = ("cli", "csrc", "records", "reports", "runtime", "sim", "workloads", "errors.py", "experiment.py")
TESTS = ("tests",)

RETIRED = (
    *("kvbook", "kv_book", "ledger", "campaign", "roster", "rungs?", "ladders?", "climb", "take_down", "take_stock"),
    *("rooms", "skinny", "attention_cut", "foreign", "seed idea"),
    *("lest", "heed", "whoever", "thereof", "anew", "dealt"),
)
"""Words of no identifier, comment or sentence, see CONTRIBUTING.md; as regular expressions."""

OLD_RECORDS = re.compile(r"(?i)dealt anew|old record|test_attention_cut_of_rows")
"""Lines that know the words of old records, and of accepted figures, may say them."""


def sources(packages: tuple[str, ...], *suffixes: str):
    for package in packages:
        place = REPOSITORY / package
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            hidden = {"results", "__pycache__"} & set(file.parts) or file == Path(__file__)
            if file.is_file() and file.suffix in suffixes and not hidden:
                yield file


def test_each_public_name_is_defined_once():
    owners = defaultdict(set)
    for file in sources(PACKAGES, ".py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                owners[node.name].add(str(file.relative_to(REPOSITORY)))
    assert {name: files for name, files in owners.items() if len(files) > 1} == {}


@pytest.mark.parametrize("word", RETIRED)
def test_a_retired_name_does_not_come_back(word):
    pattern = re.compile(rf"(?<![a-z]){word}(?![a-z])", re.IGNORECASE)
    found = [
        f"{file.relative_to(REPOSITORY)}:{number}"
        for file in sources((*PACKAGES, *TESTS), ".py", ".pyi", ".cpp", ".hpp", ".jinja", ".toml")
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line) and not OLD_RECORDS.search(line)
    ]
    assert found == []
