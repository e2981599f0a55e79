"""The page of a gate: present and past results in one self-contained file, which no name can break."""

import re

import pytest
from hypothesis import given, settings
from support.gate_results import HOSTILE, HOSTILE_GATE, Tags, exact, gate, results, timed

from warpgroup.errors import OutputRefused
from warpgroup.reports.gate.classes.registry import shown_classes
from warpgroup.reports.gate.outputs.page import gate_page, write_gate_page
from warpgroup.reports.gate.result import Check, Outcome
from warpgroup.reports.gate.wording import gate_verdict


@pytest.fixture(scope="module")
def page() -> str:
    past = [
        gate(exact(Outcome.PASSED, base=5, head=5), date=f"2026-11-{day}T08:00:00Z", head=f"c{day}") for day in (11, 12)
    ]
    changed = gate(
        exact(Outcome.CHANGED, head=6, change=0.2, detail="accept it with a reason"),
        timed(Outcome.REGRESSED),
        timed(Outcome.PASSED, "steady", change=0.0, interval=(-0.01, 0.01)),
        *(exact(Outcome.PASSED, f"scenario {i}") for i in range(20)),
        notes=["the load was high"],
    )
    return gate_page(changed, [*past, changed])


def test_the_page_shows_the_checks_and_the_rules(page):
    text = Tags(page).text
    for wanted in (
        "FAILED: 1 regressed, 1 changed; 21 passed",
        "warpgroup gate run --base main",
        "accept it with a reason",
        "the load was high",
        "two cores",
        "20 need no attention",
        "+3 % to +7 %",
        *shown_classes(),
        *Outcome,
    ):
        assert wanted in text


def test_the_page_shows_past_gates_and_figures_that_changed(page):
    past, changed = page.split("<h2>Past gates</h2>")[1].split("<h2>Figures that changed over time</h2>")
    assert [past.find(each) >= 0 for each in ("c11", "c12", "working tree")] == [True] * 3
    assert past.index("working tree") < past.index("c12") < past.index("c11")
    row = re.search(r"<tbody>\s*(<tr>.*?</tr>)\s*</tbody>", changed, re.DOTALL)[1]
    assert re.findall(r"<td[^>]*>(.*?)</td>", row) == ["+20 %", "5", "6", "1", "2026-11-24T19:20:11Z (working tree)"]


def test_the_figure_has_a_description_for_screen_readers(page):
    figure = page[page.index("<svg") : page.index("</svg>")]
    assert 'role="img"' in figure
    assert "packing: CPU time, ms: +5 % (+3 % to +7 %), regressed" in re.search("<desc>(.*?)</desc>", figure)[1]


def test_the_figure_shows_the_end_of_a_benchmarks_name():
    name = "tests/benchmarks/bench_packing.py::test_ffd[ten thousand]"
    assert ">bench_packing.py::test_ffd[ten thousand]: passed<" in gate_page(gate(timed(Outcome.PASSED, name)), [])


def test_trends_are_drawn_from_the_history():
    def replay(value: float, day: int):
        point = Check("trend", "chat: ffd", "TTFT mean, s", Outcome.REPORTED, head=value)
        return gate(point, date=f"2026-11-{day:02}T08:00:00Z", machine={"device": "H100"})

    history = [replay(value, day) for day, value in enumerate((2.0, 2.1, 3.4), 1)]
    finding = Check("trend", "chat: ffd on H100", "TTFT mean, s", Outcome.REPORTED, base=2.05, head=3.4)
    page = gate_page(gate(finding), history)
    assert "<desc>chat: ffd on H100, TTFT mean, s: 3 points</desc>" in page
    assert ">2026-11-01<" in page
    assert "Past gates" not in page


def test_the_page_needs_nothing_but_itself(page):
    without_names = re.sub(r'xmlns(:\w+)?="http://www\.w3\.org/[^"]+"', "", page)
    assert not re.search(r"https?://|@import|url\((?!#)", without_names)
    assert "script" not in Tags(page).tags


def test_equal_results_give_equal_bytes(page, tmp_path):
    result = gate(timed(Outcome.REGRESSED), exact(Outcome.CHANGED))
    assert gate_page(result, [result]) == gate_page(result, [result])
    write_gate_page(result, [], tmp_path / "gate.html")
    assert (tmp_path / "gate.html").read_text(encoding="utf-8") == gate_page(result, [])
    with pytest.raises(OutputRefused, match="cannot write"):
        write_gate_page(result, [], tmp_path / "missing" / "gate.html")


def test_no_name_breaks_out_of_the_page():
    known = Tags(gate_page(gate(timed(Outcome.INCONCLUSIVE), exact(Outcome.CHANGED), notes=["note"]), []))
    hostile = Tags(
        gate_page(HOSTILE_GATE, [HOSTILE_GATE, gate(*(exact(Outcome.PASSED, name, head=6) for name in HOSTILE))])
    )
    assert hostile.tags <= known.tags | {"details", "summary", "small"}
    assert not any(name.startswith("on") for name, _ in hostile.attributes)
    assert "<script>alert(1)</script>" in hostile.text


@given(results)
@settings(max_examples=10, deadline=None)
def test_every_result_has_a_page(result):
    assert gate_verdict(result) in Tags(gate_page(result, [result])).text


@pytest.mark.parametrize("change", [1.7e308, -1.7e308, 1.5e306, float("inf")])
def test_a_change_beyond_every_axis_has_a_page(change):
    found = gate(timed(Outcome.REGRESSED, change=change))
    assert "FAILED: 1 regressed" in Tags(gate_page(found, [found])).text


def test_an_empty_gate_has_a_page_that_says_so():
    assert "Nothing was checked" in gate_page(gate(), [])


def test_figures_without_numbers_are_in_the_table_and_not_in_the_figure():
    broken = Check("timed", "gone", "CPU time, ms", Outcome.BROKEN, change=float("nan"), interval=(float("nan"), 1.0))
    text = gate_page(gate(broken), [])
    assert "<svg" not in text
    assert "gone" in text
