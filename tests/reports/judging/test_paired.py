"""Intervals over seeds, and the table of them."""

import math
from itertools import product

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from warpgroup.records import Run
from warpgroup.records.metrics import Spread
from warpgroup.reports.comparison.paired_table import paired_table
from warpgroup.reports.judging.paired import difference, interval, mean, ratio
from warpgroup.reports.judging.study import Study
from warpgroup.reports.numbers import ENOUGH_FOR_P99
from warpgroup.reports.page.page import render_page

values = st.lists(st.floats(-100, 100), min_size=2, max_size=8)
positive = st.floats(0.01, 100)


def factor(count: int) -> float:
    return math.sqrt(count / (count - 1)) * stats.t.ppf(0.975, count - 1) / stats.norm.ppf(0.975)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_few_values_are_resampled_in_every_way(count):
    sample = [2.0**i for i in range(count)]
    means = [sum(drawn) / count for drawn in product(sample, repeat=count)]
    centre = sum(sample) / count
    ends = [centre + factor(count) * (end - centre) for end in np.quantile(means, [0.025, 0.975])]
    assert interval(sample) == pytest.approx(ends, abs=1e-3)


@pytest.mark.parametrize("count", [7, 20, 31])
def test_of_many_values_the_interval_is_nearly_that_of_student(count):
    sample = np.random.default_rng(1).normal(size=count)
    student = stats.t.interval(0.95, count - 1, sample.mean(), stats.sem(sample))
    assert interval(list(sample)) == pytest.approx(student, abs=0.08)
    assert interval(list(sample)) == interval(list(sample))


@given(values, st.floats(-50, 50), st.floats(0.1, 10))
def test_an_interval_holds_its_mean_and_moves_and_grows_with_the_values(sample, shift, scale):
    low, high = interval(sample)
    tolerance = 1e-9 * (1 + max(map(abs, sample)))
    assert low - tolerance <= mean(sample).value <= high + tolerance
    assert interval([shift + scale * each for each in sample]) == pytest.approx(
        (shift + scale * low, shift + scale * high), abs=1e-7
    )


@pytest.mark.parametrize(
    ("draw", "centre"),
    [
        (lambda rng, size: rng.normal(3, 2, size), 3.0),
        (lambda rng, size: rng.gamma(4, size=size), 4.0),  # skewness 1
        (lambda rng, size: -rng.gamma(4, size=size), -4.0),
    ],
    ids=["normal", "skewed to the right", "skewed to the left"],
)
def test_an_interval_of_five_seeds_covers_the_mean_nearly_as_often_as_it_says(draw, centre):
    samples = draw(np.random.default_rng(7), (1500, 5)).tolist()
    covered = [low <= centre <= high for low, high in map(interval, samples)]
    assert 0.92 <= np.mean(covered) <= 0.975


@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=8))
def test_a_ratio_turned_round_is_its_inverse(pairs):
    mine, other = zip(*pairs, strict=True)
    there, back = ratio(mine, other), ratio(other, mine)
    assert there.value * back.value == pytest.approx(1)
    assert (there.low is None) == (len(pairs) == 1)
    if there.low is not None:
        assert there.low * back.high == pytest.approx(1)


def test_one_seed_has_a_value_and_no_interval():
    for estimate in (mean([3.0]), difference([5.0], [2.0]), ratio([6.0], [2.0])):
        assert (estimate.value, estimate.low, estimate.high, estimate.seeds) == (pytest.approx(3), None, None, 1)


def test_a_gain_that_every_seed_shows_is_sure_however_much_seeds_differ():
    base = [10.0, 1000.0, 3.0, 80.0, 500.0]
    gain = [1.30, 1.32, 1.31, 1.29, 1.33]
    estimate = ratio([a * b for a, b in zip(base, gain, strict=True)], base)
    assert 1.28 < estimate.low < 1.31 < estimate.high < 1.34


@pytest.fixture
def group(info_with):
    """A policy's runs, one a seed, of throughputs and of the same figures otherwise."""

    def build(policy: str, *throughputs: float, content: str = "", **figures):
        infos = []
        for seed, throughput in enumerate(throughputs):
            info = info_with(policy, total_tok_s=throughput, **{"finished": 1000, "preemptions": 0, **figures})
            trace = msgspec.structs.replace(info.scenario.trace, content_hash=f"{content}{seed}")
            scenario = msgspec.structs.replace(info.scenario, trace=trace)
            infos.append(msgspec.structs.replace(info, seed=seed, scenario=scenario))
        return infos

    return build


def table(*groups, best: int = 0):
    return paired_table(Study.of([Run(infos[0], {}, {}, {}) for infos in groups], list(groups), [], []), best)


def texts(made) -> list[dict[str, str]]:
    return [{head: cell.text for (head, _), cell in zip(made.heads, row, strict=True)} for row in made.rows]


def test_one_seed_has_no_table(group):
    assert table(group("paged", 1000.0), group("ffd", 900.0)) is None


def test_rows_are_compared_with_the_best_count_that_is_safe_on_every_seed(group):
    risky = group("count-static(n=9)", 990.0, 990.0)
    risky[1].summary["ooms"] = 3
    safe, safer = group("count-continuous(n=4)", 500.0, 600.0), group("count-continuous(n=2)", 100.0, 100.0)
    rows = texts(table(group("paged", 750.0, 900.0), risky, safer, safe))
    assert [row["policy"] for row in rows] == [
        "paged (best)",
        "count-static(n=9)",
        "count-continuous(n=2)",
        "count-continuous(n=4) (baseline)",
    ]
    assert rows[0]["throughput, ratio"] == "1.50"  # on both seeds, so that the interval has no width
    assert rows[3]["throughput, ratio"] == "1.00"
    assert rows[1]["throughput, ratio"].startswith("1.81 [")
    assert rows[1]["OOMs"] == "3 on 1 of 2 seeds"


def test_without_a_safe_count_the_first_count_is_the_baseline_and_without_any_the_first_run(group):
    unsafe = group("count-static(n=9)", 990.0, 990.0, ooms=1)
    assert texts(table(group("paged", 1.0, 1.0), unsafe))[1]["policy"] == "count-static(n=9) (baseline)"
    assert texts(table(group("paged", 1.0, 1.0), group("ffd", 1.0, 1.0)))[0]["policy"] == "paged (best) (baseline)"


def test_every_figure_is_written_with_its_interval(group):
    mine = group("paged", 750.0, 900.0, 800.0)
    for info, goodput, preemptions in zip(mine, (1.5, 2.0, 2.5), (10, 20, 60), strict=True):
        info.summary |= {"goodput_req_s": goodput, "preemptions": preemptions}
        info.summary["e2e_s"] = msgspec.to_builtins(Spread(goodput, 1.0, 1.0, 10 * goodput))
    row = texts(table(mine, group("count-static(n=4)", 500.0, 500.0, 500.0)))[0]
    gain = ratio([750.0, 900.0, 800.0], [500.0] * 3)
    assert row["throughput, ratio"] == f"{gain.value:.2f} [{gain.low:.2f}, {gain.high:.2f}]"
    low, high = interval([0.5, 1.0, 1.5])
    assert row["goodput, difference"] == f"+1.00 [{low:.4f}, +{high:.2f}]"
    assert low < 0
    slower = ratio([1.5, 2.0, 2.5], [5.0] * 3)
    assert row["mean E2E, ratio"] == f"{slower.value:.3f} [{slower.low:.3f}, {slower.high:.3f}]"
    assert row["p99 E2E, ratio"].startswith("1.96 [")
    assert row["preempted"].startswith("30.0 [0, ")
    assert (row["OOMs"], row["seeds"]) == ("0", "3")


def test_a_p99_is_withheld_where_too_few_requests_finished(group):
    enough, few = group("paged", 1.0, 1.0), group("ffd", 1.0, 1.0)
    few[1].summary["finished"] = ENOUGH_FOR_P99 - 1
    rows = texts(table(enough, few))
    assert (rows[0]["p99 E2E, ratio"], rows[1]["p99 E2E, ratio"]) == ("1.00", "withheld: 661 of 662")


def test_what_was_not_run_on_the_same_requests_or_not_to_its_end_is_not_compared(group):
    other = group("ffd", 5.0, 5.0, content="other")
    cut_off = group("skyline", 2.0, 4.0)
    cut_off[1] = msgspec.structs.replace(cut_off[1], complete=False)
    rows = texts(table(group("paged", 1.0, 1.0), other, cut_off))
    assert list(rows[1].values())[1:5] == ["-"] * 4
    assert rows[1]["seeds"] == "0"
    assert (rows[2]["throughput, ratio"], rows[2]["seeds"]) == ("2.00", "1")


def test_the_section_shows_text_as_text_and_nothing_without_a_table(group):
    name = "</script><img onerror=1>"
    shown = table(group("paged", 1.0, 2.0), group(name, 1.0, 1.0))
    page = render_page("paired.html.jinja", paired=shown, enough_for_p99=ENOUGH_FOR_P99)
    assert "fewer than 662 requests finished" in page
    assert "&lt;/script&gt;&lt;img onerror=1&gt;" in page
    assert "<img" not in page
    assert not render_page("paired.html.jinja", paired=None).strip()
