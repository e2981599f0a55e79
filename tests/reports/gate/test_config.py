"""perf-gate.toml: errors name the line and the key; waivers expire."""

from datetime import date
from pathlib import Path

import pytest

from warpgroup.errors import InvalidScenario
from warpgroup.reports.gate.config import share
from warpgroup.reports.gate.config_file import read_config
from warpgroup.reports.gate.result import Check, Outcome
from warpgroup.reports.gate.waivers import apply_waivers

GOOD = """
budget_s = 60
[exact]
scenarios = ["mixed-24"]
policies = ["paged", "ffd"]
[counted]
max_increase = "0.5%"
[timed]
files = ["bench_gate.py"]
fail_above = "2.5%"
[thresholds]
"bench_gate.py::test_pack[ffd]" = "5 %"
[[waive]]
check = "timed:bench_gate.py::test_pack[*"
until = 2026-12-31
reason = "being fixed"
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "gate.toml"
    path.write_text(text)
    return path


def test_a_whole_file(tmp_path):
    config = read_config(written(tmp_path, GOOD))
    assert config.classes["exact"].policies == ("paged", "ffd")
    assert config.classes["timed"].launches == (16, 64)
    assert share(config.thresholds["bench_gate.py::test_pack[ffd]"]) == pytest.approx(0.05)
    assert config.waive[0].until == date(2026, 12, 31)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("[exact]", "[exakt]", r"line 3: exakt: Object contains unknown field"),
        ('fail_above = "2.5%"', 'fail_above = "2.5"', "line 10: timed.fail_above"),
        ("budget_s = 60", "budget_s = -1", "line 2: budget_s"),
        ('files = ["bench_gate.py"]', "", "line 8: timed: Object missing required field `files`"),
        ('policies = ["paged", "ffd"]', "policies = [1]", r"line 5: exact.policies\[0\]"),
        (
            'fail_above = "2.5%"',
            "launches = [20, 10]",
            "line 10: timed.launches: the minimum 20 is above the maximum 10",
        ),
        ('reason = "being fixed"', 'reason = ""', r"line 16: waive\[0\].reason"),
        ("until = 2026-12-31", 'until = "soon"', r"line 15: waive\[0\].until"),
        ("[counted]", "[counted", "not TOML.*line 6"),
        ('max_increase = "0.5%"', 'max_increase = "nan%"', "line 7: counted.max_increase"),
        ('files = ["bench_gate.py"]', "files = []", "line 9: timed.files"),
        ('"bench_gate.py::test_pack[ffd]" = "5 %"', '"a.py::b[ffd]" = "5"', "line 12: thresholds"),
        ("[[waive]]", '[[waive]]\ncheck = "a"\nuntil = 2026-01-01\nreason = "b"\n[[waive]]\nx = 1', "line 18: waive"),
    ],
)
def test_a_mistake_is_named_by_line_and_key(tmp_path, before, after, message):
    assert before in GOOD
    with pytest.raises(InvalidScenario, match=message):
        read_config(written(tmp_path, GOOD.replace(before, after)))


def test_a_file_that_gates_nothing_or_is_missing(tmp_path):
    with pytest.raises(InvalidScenario, match="gates nothing"):
        read_config(written(tmp_path, "budget_s = 5\n"))
    with pytest.raises(InvalidScenario, match="cannot read"):
        read_config(tmp_path / "no.toml")


TODAY = date(2026, 12, 1)
FAILED = Check("timed", "bench_gate.py::test_pack[ffd]", "CPU time", Outcome.REGRESSED, 1.0, 1.1)
OTHER = Check("timed", "bench_gate.py::test_plan[ffd]", "CPU time", Outcome.REGRESSED, 1.0, 1.1)


def test_a_waiver_holds_until_its_last_day_and_says_so(tmp_path):
    waivers = read_config(written(tmp_path, GOOD)).waive
    checks, notes = apply_waivers([FAILED, OTHER], waivers, date(2026, 12, 31))
    assert [check.outcome for check in checks] == [Outcome.WAIVED, Outcome.REGRESSED]
    assert "waived until 2026-12-31: being fixed" in checks[0].detail
    assert notes == []


def test_of_several_waivers_the_longest_counts_and_all_are_used(tmp_path):
    old = '[[waive]]\ncheck = "timed:*"\nuntil = 2020-01-01\nreason = "old"\n'
    waivers = read_config(written(tmp_path, GOOD.replace("[[waive]]", old + "[[waive]]"))).waive
    checks, notes = apply_waivers([FAILED], waivers, date(2026, 12, 1))
    assert ([check.outcome for check in checks], notes) == ([Outcome.WAIVED], [])


def test_an_expired_waiver_waives_nothing(tmp_path):
    waivers = read_config(written(tmp_path, GOOD)).waive
    checks, notes = apply_waivers([FAILED], waivers, date(2027, 1, 1))
    assert checks == [FAILED]
    assert "expired on 2026-12-31" in notes[0]


@pytest.mark.parametrize("outcome", [Outcome.BROKEN, Outcome.PASSED])
def test_a_broken_check_cannot_be_waived_and_an_unused_waiver_is_noted(tmp_path, outcome):
    waivers = read_config(written(tmp_path, GOOD)).waive
    check = Check("timed", FAILED.name, "CPU time", outcome)
    checks, notes = apply_waivers([check], waivers, date(2026, 12, 1))
    assert checks == [check]
    assert "not needed" in notes[0]


def test_only_a_check_that_fails_in_base_alone_may_be_waived_while_broken(tmp_path):
    def broken(sides: tuple[str, ...]) -> Check:
        return Check("timed", FAILED.name, "CPU time", Outcome.BROKEN, failed_sides=sides)

    waivers = read_config(written(tmp_path, GOOD)).waive
    by_sides = {
        sides: apply_waivers(
            [Check("timed", FAILED.name, "CPU time", Outcome.BROKEN, failed_sides=sides)], waivers, TODAY
        )
        for sides in ((), ("base",), ("head",), ("base", "head"))
    }
    waived = [sides for sides, (checks, _) in by_sides.items() if checks[0].outcome is Outcome.WAIVED]
    assert waived == [("base",)]
