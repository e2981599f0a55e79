"""The waterfall from the baseline to the winner, and what is said of it."""

import dataclasses

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpgroup.reports.comparison.ablation import (
    Measure,
    SwitchEffect,
    ablation_section,
    ablation_sentence,
    waterfall_figure,
)
from warpgroup.reports.page.page import render_page

HOSTILE = "</script><img src=x onerror=alert(1)>"


def effects_of(*values: float, ooms: int = 0) -> tuple[Measure, list[SwitchEffect]]:
    measure = Measure("goodput", "requests/s", list(values))
    befores = [0.0, *values]
    return measure, [
        SwitchEffect(f"switch {i}" if i else "baseline", f"policy {i}", before, value, ooms)
        for i, (before, value) in enumerate(zip(befores, values, strict=False))
    ]


@pytest.fixture
def ablation(runs, info_with):
    """Runs with these figures, the first of them the baseline."""

    def build(*figures: dict[str, object], switch: str = "turned", policy: str = "paged"):
        infos = [info_with("count-static(n=2)" if i == 0 else policy, **each) for i, each in enumerate(figures)]
        switches = ["baseline", *[f"{switch} {i}" for i in range(1, len(infos))]]
        return [
            dataclasses.replace(runs[3], info=msgspec.structs.replace(info, switch=name))
            for info, name in zip(infos, switches, strict=True)
        ]

    return build


def test_the_switch_that_brought_most_is_named_first_and_losses_are_said():
    text = ablation_sentence(*effects_of(1.0, 1.1, 1.65, 1.32, 1.33))
    assert text == (
        "Goodput of policy 4 is 1.33x that of policy 0: switch 2 brings most, 1.50x, then switch 1 1.10x; switch 3 "
        "costs 0.80x. Factors multiply. What a switch brings depends on the switches before it."
    )


def test_of_a_step_that_ran_out_of_memory_it_is_said_that_it_would_not_compete():
    measure, effects = effects_of(1.0, 2.0, 1.9)
    effects[1] = dataclasses.replace(effects[1], ooms=1267)
    assert "policy 1 (switch 1) ran out of memory in 1,267 steps, so it could not win." in ablation_sentence(
        measure, effects
    )
    effects[2] = dataclasses.replace(effects[2], ooms=1)
    assert "could not win" not in ablation_sentence(measure, effects)


@pytest.mark.parametrize("values", [(0.0, 1.0, 3.0), (0.01, 1.0, 3.0), (1.0, 0.0, 3.0)])
def test_beside_values_near_zero_differences_are_said_instead_of_factors(values):
    text = ablation_sentence(*effects_of(*values))
    assert text.startswith("Goodput changes from")
    assert "switch 2 brings" in text
    assert "x that of" not in text


def test_an_ablation_in_which_nothing_moves_says_so():
    for values in ((1.0, 1.01, 1.0), (0.0, 0.0)):
        assert "no switch changes it by more than 2%" in ablation_sentence(*effects_of(*values))


values = st.lists(st.floats(0, 5000), min_size=2, max_size=9).filter(lambda values: max(values) > 1e-6)


@given(values=values)
def test_differences_add_up_as_they_are_shown(values):
    measure, effects = effects_of(*values)

    def number(text: str) -> float:
        return float(text.replace(",", ""))

    total = number(measure.shown(values[0])) + sum(number(measure.shown_difference(effect)) for effect in effects[1:])
    assert total == pytest.approx(number(measure.shown(values[-1])), abs=1e-9 * max(values))


@given(values=values)
def test_a_sentence_can_be_said_of_any_ablation(values):
    text = ablation_sentence(*effects_of(*values))
    assert "policy 0" in text
    assert f"policy {len(values) - 1}" in text


def test_a_bar_starts_where_the_one_above_it_ends():
    measure, effects = effects_of(2.0, 3.0, 2.5, 2.5)
    bars = [patch for patch in waterfall_figure(measure, effects).axes[0].patches if patch.get_height() > 0]
    spans = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars]
    assert spans == [(0, 2), (2, 3), (2.5, 3), (2.5, 2.5)]
    assert [bool(bar.get_hatch()) for bar in bars] == [False, False, True, False]


def test_numbers_have_signs_and_names_have_out_of_memory_steps():
    panel = waterfall_figure(*effects_of(2.0, 3.0, 2.5, ooms=1200)).axes[0]
    texts = [text.get_text() for text in panel.texts]
    assert {"2.00", "3.00 (+1.00, 1.50×)", "2.50 (\N{MINUS SIGN}0.50, 0.83×)"} <= set(texts)
    assert "switch 1, 1,200 OOM" in texts


def test_no_name_is_longer_than_two_lines():
    measure, effects = effects_of(1.0, 2.0)
    effects[1] = dataclasses.replace(effects[1], policy="p" * 500)
    longest = max(waterfall_figure(measure, effects).axes[0].texts, key=lambda text: len(text.get_text()))
    assert longest.get_text().count("\n") == 1
    assert longest.get_text().endswith("…")


IN_TIME = {"goodput_req_s": 1.0, "attainment": 0.5}


def test_goodput_is_attributed_if_it_differs(ablation):
    shown = ablation_section(ablation({**IN_TIME, "goodput_req_s": 0.5}, IN_TIME))
    assert shown.sentence.startswith("Goodput of paged is 2.00x that of count-static(n=2)")


@pytest.mark.parametrize("goodput", [0.0, 1.0])
def test_throughput_is_attributed_if_goodput_is_the_same_everywhere(ablation, goodput):
    before, after = ({**IN_TIME, "goodput_req_s": goodput, "total_tok_s": speed} for speed in (1000.0, 1500.0))
    shown = ablation_section(ablation(before, after))
    assert shown.sentence.startswith("Throughput of paged is 1.50x")


def test_throughput_is_attributed_if_goodput_is_of_a_handful_of_requests(ablation):
    before = {"goodput_req_s": 0.005, "attainment": 0.02, "total_tok_s": 1000.0}
    after = {"goodput_req_s": 0.01, "attainment": 0.04, "total_tok_s": 1500.0}
    assert ablation_section(ablation(before, after)).sentence.startswith("Throughput of paged is 1.50x")


def test_the_table_has_a_row_a_step_and_says_the_change(ablation):
    table = ablation_section(ablation({**IN_TIME, "goodput_req_s": 0.5, "ooms": 3}, IN_TIME)).table
    assert [(row[0].text, row[1].text, row[6].text, row[-1].text) for row in table.rows] == [
        ("baseline", "count-static(n=2)", "3", ""),
        ("turned 1", "paged", "0", "+0.50, 2.00x"),
    ]
    assert all(len(row) == len(table.heads) for row in table.rows)


def test_there_is_nothing_to_attribute_in_a_single_run_or_in_an_interrupted_or_a_doubled_ablation(ablation):
    one, two = ablation(IN_TIME), ablation(IN_TIME, IN_TIME)
    stopped = dataclasses.replace(two[1], info=msgspec.structs.replace(two[1].info, complete=False))
    assert [ablation_section(runs) for runs in ([], one, [two[0], stopped], [*two, *two])] == [None] * 4


def test_what_users_wrote_is_text(ablation):
    shown = ablation_section(
        ablation({**IN_TIME, "goodput_req_s": 0.5}, IN_TIME, switch=HOSTILE, policy=f"paged{HOSTILE}$x$")
    )
    page = render_page("ablation.html.jinja", ablation=shown)
    assert "<img" not in page
    assert "</script" not in page
    assert "$x$" in shown.waterfall


def test_no_attribution_no_section():
    assert render_page("ablation.html.jinja", ablation=None).strip() == ""


def test_the_same_ablation_gives_the_same_small_section(ablation):
    runs = ablation({**IN_TIME, "goodput_req_s": 0.5}, *[IN_TIME] * 8)
    first = ablation_section(runs)
    assert first == ablation_section(runs)
    assert len(first.waterfall) < 40_000
