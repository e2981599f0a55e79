"""The outputs of a gate: they say the same, stay within their bounds, and no name breaks out of them."""

import io
import re
from urllib.parse import unquote
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given, settings
from rich.cells import cell_len
from rich.console import Console
from support.gate_results import HOSTILE, HOSTILE_GATE, Tags, exact, gate, results, timed

from warpgroup.reports.gate.outputs.annotations import annotation_commands
from warpgroup.reports.gate.outputs.console import print_result
from warpgroup.reports.gate.outputs.junit import junit_xml
from warpgroup.reports.gate.outputs.markdown import COMMENT_BYTES, LEAST_BYTES, SUMMARY_BYTES, result_markdown
from warpgroup.reports.gate.result import ExitCode, Outcome
from warpgroup.reports.gate.wording import check_sentence, check_title, gate_verdict, signed_percent, value_texts
from warpgroup.reports.page.escaping import line

MANY = 6_000


def shown(result, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_result(result, console)
    return console.file.getvalue()


# What is said


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        ([Outcome.PASSED, Outcome.PASSED], "PASSED: 2 passed"),
        ([Outcome.PASSED, Outcome.CHANGED, Outcome.REGRESSED], "FAILED: 1 regressed, 1 changed; 1 passed"),
        (
            [Outcome.INCONCLUSIVE, Outcome.WAIVED, Outcome.REPORTED],
            "INCONCLUSIVE: 1 inconclusive, 1 waived; 1 reported",
        ),
        ([Outcome.REGRESSED, Outcome.BROKEN], "BROKEN: 1 broken, 1 regressed"),
        ([], "BROKEN: nothing was checked"),
    ],
)
def test_the_verdict_is_a_word_and_then_counts(outcomes, said):
    assert gate_verdict(gate(*(exact(outcome) for outcome in outcomes))) == said


def test_values_are_shown_in_as_many_digits_as_tell_them_apart():
    assert value_texts(exact(Outcome.PASSED, base=1.23456789, head=1.23456789)) == ("1.235", "1.235")
    assert value_texts(exact(Outcome.CHANGED, base=1.23456789, head=1.23456788)) == ("1.23456789", "1.23456788")
    assert value_texts(exact(Outcome.CHANGED, base=123456.75, head=1234567)) == ("123,457", "1,234,567")
    assert value_texts(exact(Outcome.BROKEN, base=None, head="a" * 64)) == ("-", "a" * 11 + "…")


def test_a_change_has_a_sign_and_none_is_a_dash():
    assert [signed_percent(share) for share in (0.0523, -0.5, 0.0, 12.0, None)] == [
        "+5.23 %",
        "-50 %",
        "0 %",
        "+1,200 %",
        "-",
    ]


def test_a_line_is_one_line_without_what_is_invisible():
    assert (
        line("a\r\nb\x00\x1b\u202ec\ud800", 20)
        == "a b" + "\N{REPLACEMENT CHARACTER}" * 3 + "c\N{REPLACEMENT CHARACTER}"
    )
    assert line("abcdef", 4) == "abc…"


# Console


@given(results)
@settings(max_examples=50, deadline=None)
def test_the_console_is_at_most_100_columns_wide_and_ends_with_the_verdict(result):
    lines = shown(result, width=200).rstrip("\n").split("\n")
    assert max(cell_len(each) for each in lines) <= 100
    assert " ".join(" ".join(lines).split()).endswith(gate_verdict(result))


def test_many_passed_checks_are_a_count_and_few_are_rows():
    few = shown(gate(*(exact(Outcome.PASSED, f"benchmark {i}") for i in range(15))))
    assert all(f"benchmark {i}" in few for i in range(15))
    many = shown(gate(timed(Outcome.PASSED), *(exact(Outcome.PASSED, f"benchmark {i}") for i in range(15))))
    assert "benchmark" not in many
    assert "passed: 15 exact, 1 timed" in many


def test_the_worst_comes_first_and_markup_in_a_name_is_shown_as_it_is():
    text = shown(gate(exact(Outcome.WAIVED, "[red]waived[/red]"), exact(Outcome.CHANGED), timed(Outcome.BROKEN)))
    assert [each.split()[0] for each in text.splitlines() if each.split()[0] in list(Outcome)] == [
        "broken",
        "changed",
        "waived",
    ]
    assert "[red]waived[/red]" in text


# JUnit


@given(results)
@settings(max_examples=150, deadline=None)
def test_junit_fails_exactly_as_the_gate_does(result):
    root = ElementTree.fromstring(junit_xml(result))
    for element in (root, *root.iter("testsuite")):
        for attribute, tag in (
            ("tests", "testcase"),
            ("failures", "failure"),
            ("errors", "error"),
            ("skipped", "skipped"),
        ):
            assert int(element.get(attribute)) == len(element.findall(f".//{tag}"))
    assert int(root.get("tests")) == max(1, len(result.checks))
    assert int(root.get("failures")) == result.count(Outcome.REGRESSED, Outcome.CHANGED)
    assert int(root.get("skipped")) == result.count(Outcome.INCONCLUSIVE, Outcome.WAIVED)
    assert (int(root.get("errors")) > 0) == (result.exit_code == ExitCode.BROKEN)


def test_junit_keeps_names_that_xml_cannot_hold_legible():
    root = ElementTree.fromstring(junit_xml(gate(exact(Outcome.CHANGED, "a<b>&\x00\x0b\ufffe"))))
    assert (
        root.find(".//testcase").get("name") == "a<b>&\N{REPLACEMENT CHARACTER} \N{REPLACEMENT CHARACTER}: makespan, s"
    )


# Markdown


@given(results)
@settings(max_examples=50, deadline=None)
def test_a_comment_keeps_its_limit_whatever_is_in_it(result):
    assert len(result_markdown(result, limit_bytes=LEAST_BYTES).encode()) <= LEAST_BYTES


@pytest.mark.parametrize("limit", [LEAST_BYTES, COMMENT_BYTES, SUMMARY_BYTES])
def test_rows_that_do_not_fit_are_counted(limit):
    outcomes = (Outcome.CHANGED, Outcome.PASSED)
    text = result_markdown(
        gate(*(exact(outcomes[i % 2], HOSTILE[i % len(HOSTILE)]) for i in range(MANY))), limit_bytes=limit
    )
    assert len(text.encode()) <= limit
    rows = len(re.findall(r"^\| (?:\*\*changed\*\*|passed) ", text, re.MULTILINE))
    left_out = sum(int(count.replace(",", "")) for count in re.findall(r"^([\d,]+) more rows", text, re.MULTILINE))
    assert rows > 10
    assert rows + left_out == MANY


def test_the_parts_that_are_never_left_out_have_room():
    marks = "@" * 1_000
    result = gate(*(exact(Outcome.CHANGED, marks, detail=marks) for _ in range(99)), notes=[marks] * 9)
    result = msgspec.structs.replace(result, base=marks, head=marks, command=marks, date=marks, machine={marks: marks})
    assert len(result_markdown(result, limit_bytes=LEAST_BYTES).encode()) <= LEAST_BYTES


def test_a_small_result_is_whole_and_its_rest_is_folded():
    text = result_markdown(gate(timed(Outcome.REGRESSED), exact(Outcome.PASSED)))
    assert text.startswith("### Performance gate: FAILED: 1 regressed; 1 passed\n")
    before, folded = text.split("<details>")
    assert (
        "| **regressed** | timed | <code>packing</code> | CPU time, ms | 2 | 2.1 | +5 % (+3 % to +7 %) | +2.5 % |"
        in before
    )
    assert "| passed | exact |" in folded
    assert "left out" not in text


def test_no_name_breaks_out_of_its_cell():
    text = result_markdown(HOSTILE_GATE)
    rows = [each for each in text.splitlines() if each.startswith("|")]
    assert {each.count("|") for each in rows} == {10}
    assert Tags(text).tags == {"code", "details", "summary"}
    assert not re.search(r"@\w|https://|\]\(|`", text)
    with pytest.raises(ValueError, match="limit_bytes=10 "):
        result_markdown(HOSTILE_GATE, limit_bytes=10)


# Annotations


@given(results)
@settings(max_examples=100, deadline=None)
def test_annotations_are_whole_commands_and_at_most_ten_a_level(result):
    commands = annotation_commands(result)
    levels = [re.fullmatch(r"::(error|warning|notice) title=[^:,\r\n]+::[^\r\n]*", each)[1] for each in commands]
    assert all(levels.count(level) <= 10 for level in set(levels))
    assert ("error" in levels) == (result.exit_code in (ExitCode.BROKEN, ExitCode.REGRESSED))


def test_what_is_escaped_can_be_read_back_and_what_is_left_out_is_counted():
    found = [timed(Outcome.REGRESSED, f"100 %2C, case: {i}", detail="%0A") for i in range(13)]
    commands = annotation_commands(gate(*found))
    assert len(commands) == 10
    assert "4 more" in commands[-1]
    heading, message = re.fullmatch(r"::error title=([^:]+)::(.*)", commands[0]).groups()
    assert unquote(heading) == f"regressed: {check_title(found[0])}"
    assert unquote(message) == check_sentence(found[0])
