"""Exact figures: passed, changed, or broken if one side lacks them; baselines that a person can review."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpgroup.reports.gate.broken import Broken
from warpgroup.reports.gate.classes.exact import compare_figures, read_figures, write_figures
from warpgroup.reports.gate.result import Outcome

VALUES = st.one_of(st.integers(-(2**60), 2**60), st.text("0123456789abcdef", min_size=1, max_size=16))
FIGURES = st.dictionaries(
    st.text("ab: -24", min_size=1, max_size=6), st.dictionaries(st.sampled_from("mnop"), VALUES, min_size=1), max_size=4
)


@given(FIGURES)
def test_equal_figures_all_pass(figures):
    checks = compare_figures(figures, figures)
    assert len(checks) == sum(map(len, figures.values()))
    assert {check.outcome for check in checks} <= {Outcome.PASSED}


@given(FIGURES, FIGURES)
def test_every_difference_is_named_and_nothing_else(base, head):
    for check in compare_figures(base, head):
        ours, theirs = base.get(check.name, {}).get(check.metric), head.get(check.name, {}).get(check.metric)
        expected = Outcome.BROKEN if None in (ours, theirs) else Outcome.PASSED if ours == theirs else Outcome.CHANGED
        assert check.outcome == expected
        assert (check.detail == "") == (expected == Outcome.PASSED)


def test_better_is_a_change_too():
    (check,) = compare_figures({"a": {"makespan_ns": 100}}, {"a": {"makespan_ns": 90}})
    assert (check.outcome, check.change) == (Outcome.CHANGED, pytest.approx(-0.1))


@given(FIGURES.filter(bool))
def test_a_baseline_is_read_as_it_was_written_and_sorted(tmp_path_factory, figures):
    path = tmp_path_factory.mktemp("gate") / "exact.json"
    write_figures(path, figures)
    assert read_figures(path) == figures
    assert path.read_text() == json.dumps({"figures": figures}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not a baseline"),
        ("{}", "is not a baseline"),
        ('{"figures": {}}', "is empty"),
        ('{"figures": {"a": {"m": NaN}}}', "is not a baseline"),
        ('{"figures": {"a": {"m": 1.5}}}', "is not a baseline"),
        ('{"figures": [1]}', "is not a baseline"),
    ],
)
def test_a_damaged_baseline_is_broken(tmp_path, content, message):
    path = tmp_path / "exact.json"
    path.write_text(content)
    with pytest.raises(Broken, match=message):
        read_figures(path)


def test_no_baseline(tmp_path):
    with pytest.raises(Broken, match="cannot read the baseline"):
        read_figures(tmp_path / "exact.json")
