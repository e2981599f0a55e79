"""A new class of metrics: one class and one line of the registry, and the whole gate knows it."""

import io
import subprocess
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from support.gate_results import Tags

from warpgroup.errors import InvalidScenario
from warpgroup.reports.gate.accept import accept_baseline
from warpgroup.reports.gate.baseline import BaselineUpdate, describe_differences, read_baseline, write_baseline
from warpgroup.reports.gate.classes.gate_class import GateClass
from warpgroup.reports.gate.classes.registry import CLASSES
from warpgroup.reports.gate.gate import Gate
from warpgroup.reports.gate.open_gate import open_gate
from warpgroup.reports.gate.outputs.annotations import annotation_commands
from warpgroup.reports.gate.outputs.console import print_result
from warpgroup.reports.gate.outputs.junit import junit_xml
from warpgroup.reports.gate.outputs.markdown import result_markdown
from warpgroup.reports.gate.outputs.page import gate_page
from warpgroup.reports.gate.result import Check, ExitCode, GateResult, Outcome
from warpgroup.reports.gate.run import run_gate


class SizeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    files: tuple[str, ...]


class SizeClass(GateClass[SizeSettings]):
    """Bytes of files: a file may not grow."""

    name = "size"
    settings = SizeSettings
    lists_changes = True
    rule = "Bytes of files. A file that is larger than accepted fails."

    def measure(self, gate: Gate, settings: SizeSettings) -> list[Check]:
        accepted = read_baseline(gate.baseline / "size.json", dict[str, dict[str, int]])
        checks = []
        for file, figures in sizes(gate, settings).items():
            base, head = accepted[file]["bytes"], figures["bytes"]
            outcome = Outcome.REGRESSED if head > base else Outcome.PASSED
            checks.append(Check("size", file, "bytes", outcome, base, head, head / base - 1))
        return checks

    def accept(self, gate: Gate, settings: SizeSettings) -> BaselineUpdate:
        path, found = gate.baseline / "size.json", sizes(gate, settings)
        before = read_baseline(path, dict[str, dict[str, int]]) if path.exists() else None
        return BaselineUpdate(describe_differences("size", before, found), lambda: write_baseline(path, found))


def sizes(gate: Gate, settings: SizeSettings) -> dict[str, dict[str, int]]:
    return {name: {"bytes": (gate.path.parent / name).stat().st_size} for name in settings.files}


@pytest.fixture
def place(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setitem(CLASSES, "size", SizeClass())
    (tmp_path / "perf-gate.toml").write_text('[size]\nfiles = ["wheel"]\n')
    (tmp_path / "wheel").write_bytes(bytes(100))
    git = ("git", "-C", tmp_path, "-c", "user.name=t", "-c", "user.email=t@example.org")
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "first")):
        subprocess.run([*git, *arguments], check=True)
    return tmp_path


def opened(place: Path) -> Gate:
    return open_gate(place / "perf-gate.toml", simulate_figures=lambda *_, **__: {})


def grown(place: Path) -> GateResult:
    accept_baseline(opened(place), "the first")
    (place / "wheel").write_bytes(bytes(120))
    return run_gate(opened(place))


def test_it_is_measured_and_accepted_with_its_reason(place):
    assert accept_baseline(opened(place), "the first") == ["size: first baseline, 1 figures"]
    assert run_gate(opened(place)).exit_code == ExitCode.PASSED
    (place / "wheel").write_bytes(bytes(120))
    assert run_gate(opened(place)).exit_code == ExitCode.REGRESSED
    assert accept_baseline(opened(place), "a new module") == ["wheel: bytes: 100 -> 120"]
    assert run_gate(opened(place)).exit_code == ExitCode.PASSED


def test_the_terminal_shows_it(place):
    console = Console(file=io.StringIO(), width=100, color_system=None)
    print_result(grown(place), console)
    row = next(each for each in console.file.getvalue().splitlines() if "wheel" in each)
    assert row.split() == ["regressed", "size", "wheel,", "bytes", "+20", "%"]


def test_junit_markdown_and_annotations_show_it(place):
    result = grown(place)
    assert b'classname="gate.size" name="wheel: bytes"' in junit_xml(result)
    assert "| **regressed** | size | <code>wheel</code> | bytes | 100 | 120 | +20 % |" in result_markdown(result)
    assert annotation_commands(result) == ["::error title=regressed%3A wheel%3A bytes::100 -> 120; +20 %25"]


def test_the_page_shows_it_with_its_rule_and_its_history(place):
    accept_baseline(opened(place), "the first")
    before, after = run_gate(opened(place)), grown(place)
    page = gate_page(after, [before, after])
    text = Tags(page).text
    assert text.count("Bytes of files. A file that is larger than accepted fails.") == 2
    assert "wheelbytes, size" in text.split("Figures that changed over time")[1]


def test_a_mistake_in_its_table_is_named(place):
    (place / "perf-gate.toml").write_text('[size]\nfile = "wheel"\n')
    with pytest.raises(InvalidScenario, match=r"line 2: size.file: Object contains unknown field"):
        opened(place)


def test_without_a_baseline_it_is_broken(place):
    result = run_gate(opened(place))
    assert (result.exit_code, result.checks[0].id) == (ExitCode.BROKEN, "size:[size]:harness")


def test_a_class_that_does_not_block_is_only_reported(place, monkeypatch):
    monkeypatch.setattr(CLASSES["size"], "blocks", False)
    (check,) = grown(place).checks
    assert (check.outcome, check.detail) == (Outcome.REPORTED, "regressed, which does not fail the gate")
