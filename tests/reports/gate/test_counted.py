"""Counts: compared, carried over to another machine, kept in a file, and made from a build."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import REPOSITORY

from warpgroup.reports.gate.broken import Broken
from warpgroup.reports.gate.classes.counted.comparison import carried_over, compare_counts
from warpgroup.reports.gate.classes.counted.counted_class import read_counts, write_counts
from warpgroup.reports.gate.classes.counted.counting import Counts, build_core_bench, count_core_bench
from warpgroup.reports.gate.result import Outcome

KEY = {"compiler": "GNU 12.2.0", "valgrind": "valgrind-3.19.0"}

names = st.text(min_size=1, max_size=8)
some_counts = st.builds(
    lambda counts: Counts(KEY, counts),
    st.dictionaries(names, st.dictionaries(names, st.integers(0, 2**53), min_size=1), min_size=1),
)


def one(number: int, case: str = "pack.ffd", metric: str = "instructions") -> Counts:
    return Counts(KEY, {case: {metric: number}})


def outcomes(base: Counts, head: Counts, **options) -> list[Outcome]:
    return [check.outcome for check in compare_counts(base, head, **options)]


@given(some_counts)
def test_a_build_passes_against_itself(counts):
    checks = compare_counts(counts, counts)
    assert len(checks) == sum(map(len, counts.counts.values()))
    assert {check.outcome for check in checks} == {Outcome.PASSED}
    assert {check.change for check in checks} == {0.0}


@given(st.integers(1, 2**53))
def test_one_percent_more_is_always_a_regression(number):
    assert outcomes(one(number), one(number + -(-number // 100))) == [Outcome.REGRESSED]


@given(st.integers(0, 2**53), st.floats(0, 1))
def test_a_smaller_count_always_passes(number, share):
    assert outcomes(one(number), one(int(number * share))) == [Outcome.PASSED]


def test_half_a_percent_is_the_most_that_passes():
    assert outcomes(one(10_000), one(10_050)) == [Outcome.PASSED]
    assert outcomes(one(10_000), one(10_051)) == [Outcome.REGRESSED]


def test_a_case_may_have_a_threshold_of_its_own():
    limits = {"pack.ffd": 0.03}
    assert outcomes(one(100), one(103), limits=limits) == [Outcome.PASSED]
    assert outcomes(one(100, "pack.bfd"), one(103, "pack.bfd"), limits=limits) == [Outcome.REGRESSED]


def test_a_check_says_what_was_compared():
    [check] = compare_counts(one(1_000), one(1_020))
    assert (check.name, check.metric, check.base, check.head) == ("pack.ffd", "instructions a round", 1_000, 1_020)
    assert check.change == pytest.approx(0.02)
    assert check.detail == "+2.00% is above the limit of +0.50%"


def test_a_gain_passes_and_is_named():
    [check] = compare_counts(one(1_000), one(900))
    assert check.outcome is Outcome.PASSED
    assert check.detail == "better by 10.00%: `gate accept` keeps the gain"


def test_the_first_allocation_is_a_regression():
    [check] = compare_counts(one(0, metric="allocations"), one(1, metric="allocations"))
    assert (check.outcome, check.change) == (Outcome.REGRESSED, None)


def test_a_deleted_case_is_broken():
    [check] = compare_counts(one(1_000), Counts(KEY, {}))
    assert (check.outcome, check.head) == (Outcome.BROKEN, None)
    assert "'pack.ffd' was renamed or deleted" in check.detail


def test_a_renamed_case_is_missing_under_one_name_and_new_under_the_other():
    old, new = compare_counts(one(1_000, "pack.ffd"), one(1_000, "packing.ffd"))
    assert (old.outcome, new.outcome) == (Outcome.BROKEN, Outcome.BROKEN)
    assert "the baseline does not have instructions of 'packing.ffd'" in new.detail


def test_a_deleted_metric_is_broken():
    base = Counts(KEY, {"pack.ffd": {"allocations": 1, "instructions": 1_000}})
    assert outcomes(base, one(1_000)) == [Outcome.BROKEN, Outcome.PASSED]


def test_counts_of_another_compiler_are_not_compared():
    other = Counts(KEY | {"compiler": "GNU 13.1.0"}, one(1).counts)
    with pytest.raises(ValueError, match="GNU 13.1.0"):
        compare_counts(one(1), other)


@given(counts=some_counts)
def test_a_file_gives_back_what_was_written(tmp_path_factory, counts):
    path = tmp_path_factory.mktemp("counts") / "counted.json"
    write_counts(path, counts)
    assert read_counts(path) == counts


def test_a_file_does_not_depend_on_the_order_of_counting(tmp_path):
    one_way, other_way = tmp_path / "one.json", tmp_path / "other.json"
    write_counts(one_way, Counts(KEY, {"a": {"x": 1, "y": 2}, "b": {"x": 3}}))
    write_counts(other_way, Counts(dict(reversed(KEY.items())), {"b": {"x": 3}, "a": {"y": 2, "x": 1}}))
    assert one_way.read_bytes() == other_way.read_bytes()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"key": {}}',
        '{"key": {}, "counts": {}}',
        '{"key": {}, "counts": {"a": {}}}',
        '{"key": {}, "counts": {"a": {"instructions": NaN}}}',
        '{"key": {}, "counts": {"a": {"instructions": -1}}}',
        '{"key": {}, "counts": {"a": {"instructions": 1.5}}}',
        '{"key": {}, "counts": {"a": {"instructions": "1"}}}',
        '{"key": {}, "counts": {"a": {"instructions": 1}}, "cuonts": {}}',
    ],
)
def test_a_file_without_counts_is_refused_by_its_name(tmp_path, text):
    path = tmp_path / "counted.json"
    path.write_text(text)
    with pytest.raises(Broken, match=r"counted.json .*gate accept"):
        read_counts(path)


def test_a_missing_file_is_refused_by_its_name(tmp_path):
    with pytest.raises(Broken, match="counted.json: No such file"):
        read_counts(tmp_path / "counted.json")


def fake_program(folder: Path, case_line: str, cases: str = "a") -> Path:
    """A program with the options of core_bench whose cases run a line of shell."""
    program = folder / "core_bench"
    program.write_text(
        f"#!/bin/sh\ncase $1 in --list) echo '{cases}' ;; --build) echo '{{}}' ;; *) {case_line} ;; esac\n"
    )
    program.chmod(0o755)
    return program


def say(allocations: str, copied: str) -> str:
    return f'echo "{{\\"allocations\\": {allocations}, \\"allocated_bytes\\": 0, \\"copied_bytes\\": {copied}}}"'


def test_counts_are_of_one_round_without_the_set_up(tmp_path):
    program = fake_program(tmp_path, say("$((1000 + 7 * $2))", "$((64 * $2))"))
    counts = count_core_bench(program, instructions=False).counts
    assert counts == {"a": {"allocations": 7, "allocated bytes": 0, "copied bytes": 64}}


def test_an_event_in_one_round_of_many_counts_as_one(tmp_path):
    program = fake_program(tmp_path, say("$(($2 / 40))", "0"))
    assert count_core_bench(program, instructions=False).counts["a"]["allocations"] == 1


@pytest.mark.parametrize(
    ("case_line", "message"),
    [
        ("kill -SEGV $$", "exit status -11"),
        ("echo it went wrong >&2; exit 3", "exit status 3: it went wrong"),
        ("echo nonsense", "cannot be read"),
        ("echo '{}'", "cannot be read"),
        (say("NaN", "0"), "cannot be read"),
    ],
)
def test_a_program_that_crashes_or_prints_nonsense_is_broken(tmp_path, case_line, message):
    with pytest.raises(Broken, match=message):
        count_core_bench(fake_program(tmp_path, case_line), instructions=False)


def test_a_program_without_cases_is_broken(tmp_path):
    with pytest.raises(Broken, match="no such cases"):
        count_core_bench(fake_program(tmp_path, "true", cases=""), instructions=False)


def test_a_missing_program_is_broken(tmp_path):
    with pytest.raises(Broken, match="needs .*core_bench, which is missing"):
        count_core_bench(tmp_path / "core_bench", instructions=False)


def test_without_valgrind_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Broken, match="apt-get install valgrind"):
        count_core_bench(fake_program(tmp_path, "true"))


def test_a_tree_that_does_not_build_is_broken(tmp_path):
    if not shutil.which("cmake"):
        pytest.skip("needs cmake")
    with pytest.raises(Broken, match="cmake .*exit status"):
        build_core_bench(tmp_path, tmp_path / "build")


def test_counts_of_the_core_repeat_and_a_slower_build_is_found(tmp_path, monkeypatch):
    missing = [tool for tool in ("cmake", "valgrind", os.environ.get("CXX", "c++")) if not shutil.which(tool)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    if shutil.which("ccache"):  # most of the time is compilation
        monkeypatch.setenv("CMAKE_CXX_COMPILER_LAUNCHER", "ccache")
    cases = ["pack.bfd", "pack.ffd"]
    program = build_core_bench(REPOSITORY, tmp_path)
    base = count_core_bench(program, only=cases)
    assert count_core_bench(program, only=cases) == base

    slower = count_core_bench(build_core_bench(REPOSITORY, tmp_path, slower=5), only=cases)
    changed = {check.name: check for check in compare_counts(base, slower) if check.metric == "instructions a round"}
    assert changed["pack.bfd"].outcome is Outcome.PASSED
    assert changed["pack.ffd"].outcome is Outcome.REGRESSED
    assert changed["pack.ffd"].change == pytest.approx(0.05, abs=0.005)


def test_a_change_accepted_on_another_machine_is_accepted_here():
    """The base had 100 there and 120 here; 110 was accepted there since, and a case that the base does not have."""
    there, here = {"compiler": "a"}, {"compiler": "b"}
    before = Counts(there, {"pack": {"instructions": 100}})
    accepted = Counts(there, {"pack": {"instructions": 110}, "new": {"instructions": 7}})
    recounted = Counts(here, {"pack": {"instructions": 120}})
    head = Counts(here, {"pack": {"instructions": 132}, "new": {"instructions": 9}})
    assert {check.outcome for check in compare_counts(carried_over(accepted, before, recounted, head), head)} == {
        Outcome.PASSED
    }
    worse = Counts(here, {"pack": {"instructions": 134}, "new": {"instructions": 9}})
    outcomes = {
        check.name: check.outcome for check in compare_counts(carried_over(accepted, before, recounted, worse), worse)
    }
    assert outcomes == {"pack": Outcome.REGRESSED, "new": Outcome.PASSED}
    assert carried_over(before, None, recounted, head) == recounted
