"""Every metric, on runs small enough to work out by hand."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.experiments import experiment

from warpgroup.csrc import parse_policy
from warpgroup.records import Run, merit, metrics
from warpgroup.sim import PerStep, simulate

SECOND = 10**9


def run(rows, policy="paged", *, blocks=64, **limits) -> Run:
    """Every step takes one second."""
    made = experiment(rows, kv_blocks=blocks, **limits)
    return simulate(made, parse_policy(policy), step_time=PerStep(lambda work: SECOND if work.sampled_rows else 0))


def test_latencies_of_one_request():
    """Arrives at 2 s; its prefill step makes the first token at 3 s, three decode steps the others by 6 s."""
    result = run([(0, 1, 1), (2 * SECOND, 10, 4)])
    assert metrics.ttft_s(result).tolist() == [1, 1]
    assert metrics.e2e_s(result).tolist() == [1, 4]
    tpot = metrics.tpot_s(result)
    assert np.isnan(tpot[0])
    assert tpot[1] == 1
    assert metrics.makespan_ns(result) == 6 * SECOND


def test_throughput_counts_prompt_and_output_of_finished_requests():
    summary = metrics.summarize(run([(0, 10, 4)]))
    assert (summary.makespan_s, summary.total_tok_s, summary.output_tok_s) == (4, 3.5, 1)


def test_goodput_counts_those_that_keep_the_slo():
    """One request at a time: the k-th waits 2k seconds and has its first token one later."""
    result = run([(0, 10, 2)] * 8, "count-continuous(n=1)")
    assert metrics.ttft_s(result).tolist() == [1, 3, 5, 7, 9, 11, 13, 15]
    assert metrics.good_mask(result).sum() == 0  # TPOT is one second, the SLO 100 ms
    quick = simulate(
        experiment([(0, 10, 2)] * 8, kv_blocks=64),
        parse_policy("count-continuous(n=1)"),
        step_time=PerStep(lambda work: 2 * SECOND if work.prefill_tokens else SECOND // 10),
    )
    assert metrics.good_mask(quick).sum() == 4  # first tokens at 2, 4.1, 6.2, 8.3, then 10.4 s


def test_inter_token_latencies_have_one_gap_less_than_tokens():
    gaps, counts = metrics.itl_s(run([(0, 10, 5), (0, 10, 3)]))
    assert counts.sum() == 4 + 2
    assert set(gaps.tolist()) == {1.0}


def test_an_eviction_is_one_long_gap():
    """Two requests outgrow a pool of five blocks: the second is evicted and resumes when the first has finished."""
    result = run([(0, 30, 20), (0, 30, 20)], blocks=5)
    assert result.info.summary["preemptions"] == 1
    gaps, counts = metrics.itl_s(result)
    assert counts.sum() == 19 + 19
    assert gaps.max() > 1
    assert (gaps * counts).sum() == pytest.approx(sum(metrics.e2e_s(result) - metrics.ttft_s(result)))


def test_an_eviction_that_was_planned_before_the_first_token_came_interrupts_from_that_token_on():
    """A step that is planned while the one before runs evicts at a time before that one's end."""
    result = run([(0, 30, 20), (0, 30, 20)], blocks=5)
    evicted = int(result.events["request"][0])
    first_token_ns = result.requests["first_token_ns"]
    resumed_ns = int(result.events["t_ns"][-1])
    first_token_ns[evicted] = int(result.events["t_ns"][0]) + 7
    assert metrics.itl_s(result)[0].max() == pytest.approx((resumed_ns - first_token_ns[evicted]) / 1e9)


def test_rows_that_ended_in_a_static_batch_have_no_gaps():
    _, counts = metrics.itl_s(run([(0, 10, 5), (0, 10, 2)], "count-static(n=2)"))
    assert counts.sum() == 4 + 1


def test_padding_waste_is_the_share_of_positions_that_belong_to_nobody():
    """Prefill: 2 x 30 positions, 20 of them padding. Decode: 2 rows for 4 steps, one of which ends after the first."""
    result = run([(0, 30, 5), (0, 10, 2)], "count-static(n=2)")
    assert metrics.padding_waste(result) == (20 + 3) / (60 + 8)


def test_recompute_tax_is_what_was_computed_again_over_what_was_needed():
    result = run([(0, 30, 20), (0, 30, 20)], blocks=5)
    lost = int(result.requests["recomputed_tokens"].sum())
    assert lost > 30
    assert metrics.recompute_tax(result) == lost / (2 * 49)


def test_memory_bound_share_is_the_time_in_which_memory_kept_somebody_waiting():
    """The pool holds one request: the second waits 5 of 10 seconds for it. With space for both, no request waits."""
    rows = [(0, 60, 5), (0, 60, 5)]
    assert metrics.memory_bound_share(run(rows, blocks=5)) == 0.5
    assert metrics.memory_bound_share(run(rows, blocks=50)) == 0
    assert metrics.memory_bound_share(run(rows, "count-continuous(n=1)")) == 0


def test_mean_kv_use_is_a_mean_over_time():
    """Ten tokens and a few more fill one block of four for the whole run."""
    assert metrics.mean_kv_use(run([(0, 10, 4)], blocks=4)) == 0.25


def test_mean_kv_use_is_the_same_for_macro_and_single_steps_that_stay_in_a_block():
    made = experiment([(0, 16, 17)], kv_blocks=4)
    both = [simulate(made, parse_policy("paged"), macro_steps=macro) for macro in (True, False)]
    assert metrics.mean_kv_use(both[0]) == pytest.approx(metrics.mean_kv_use(both[1]), rel=0.02)


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 5)), min_size=1, max_size=30))
def test_a_weighted_spread_is_that_of_the_repeated_values(pairs):
    values, weights = (np.array(column) for column in zip(*pairs, strict=True))
    repeated = np.sort(np.repeat(values, weights))
    spread = metrics.weighted_spread(values.astype(float), weights)
    assert spread.mean == pytest.approx(repeated.mean())
    assert spread.p50 == np.quantile(repeated, 0.5, method="inverted_cdf")
    assert spread.p99 == np.quantile(repeated, 0.99, method="inverted_cdf")


def test_nothing_finished_gives_no_latencies_and_no_division_by_zero():
    summary = metrics.summarize(run([(0, 5000, 5)], blocks=4))
    assert (summary.rejected, summary.makespan_s, summary.total_tok_s) == (1, 0, 0)
    assert summary.ttft_s.p99 is None


ONE = metrics.summarize(run([(0, 10, 4)]))


def summary_with(**changes) -> metrics.Summary:
    return msgspec.structs.replace(ONE, **{"attainment": 1.0, "requests": 20_000, **changes})


def e2e(mean: float) -> metrics.Spread:
    return metrics.Spread(mean, mean, mean, mean)


def test_the_order_is_by_goodput_then_throughput_then_latency_each_beyond_a_tie():
    a = summary_with(goodput_req_s=1.00, total_tok_s=100, e2e_s=e2e(5))
    b = summary_with(goodput_req_s=0.99, total_tok_s=130, e2e_s=e2e(6))  # goodput ties, throughput decides
    c = summary_with(goodput_req_s=1.01, total_tok_s=129, e2e_s=e2e(4))  # both tie with b, latency decides
    d = summary_with(goodput_req_s=0.50, total_tok_s=900, e2e_s=e2e(1))
    assert merit.order_by_merit([a, b, c, d]) == [2, 1, 0, 3]


def test_goodput_of_a_handful_of_requests_decides_nothing():
    """Of 20,000 requests three keep the SLO under one policy and one under the other, which finishes twice as many."""
    few = summary_with(goodput_req_s=0.003, attainment=3 / 20_000, total_tok_s=100, e2e_s=e2e(9))
    fast = summary_with(goodput_req_s=0.002, attainment=1 / 20_000, total_tok_s=200, e2e_s=e2e(5))
    assert merit.order_by_merit([few, fast]) == [1, 0]
    assert not merit.equal(few, fast)
    assert merit.equal(few, summary_with(goodput_req_s=0.001, attainment=1e-4, total_tok_s=100, e2e_s=e2e(9)))
    many = summary_with(goodput_req_s=1.0, attainment=0.05, total_tok_s=50, e2e_s=e2e(9))
    assert merit.order_by_merit([few, fast, many]) == [2, 1, 0]


def test_goodput_of_one_request_of_six_decides_nothing():
    good, fast = (
        summary_with(requests=6, goodput_req_s=share, attainment=share, total_tok_s=speed)
        for share, speed in ((1 / 6, 100), (0.0, 200))
    )
    assert merit.order_by_merit([good, fast]) == [1, 0]
    ten, nine = (summary_with(requests=20, goodput_req_s=n / 20, attainment=n / 20) for n in (10, 9))
    assert merit.goodput_decides([ten, nine])
    assert not merit.goodput_decides([nine])


near = st.integers(95, 105)  # per cent of 1: some of these tie, and some do not
figures = st.tuples(near | st.floats(0, 100), near.map(lambda n: n / 2_000) | st.just(0.9), near, st.floats(1, 100))
"""Goodput, attainment on either side of enough, throughput and mean E2E."""


def summaries_of(rows, requests: int = 20_000) -> list[metrics.Summary]:
    return [
        summary_with(goodput_req_s=good, attainment=share, total_tok_s=speed, e2e_s=e2e(mean), requests=requests)
        for good, share, speed, mean in rows
    ]


def some(figures, *, most: int = 6):
    """Rows of figures, no two of them with the same latency: then nothing is left for the position to decide."""
    return st.lists(figures, min_size=1, max_size=most, unique_by=lambda row: row[3])


many_or_few = st.sampled_from([20_000, 190])
"""Requests: enough of the few is less than `FEWEST_IN_TIME` at times."""


@given(some(figures), many_or_few, st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_how_the_runs_were_listed(rows, count, random):
    shuffled = random.sample(rows, len(rows))
    ordered, again = ([each[i] for i in merit.order_by_merit(summaries_of(each, count))] for each in (rows, shuffled))
    assert ordered == again
    assert sorted(ordered) == sorted(rows)


@given(some(figures), many_or_few)
def test_who_is_left_without_the_winner_is_ordered_as_before(rows, count):
    first, *others = merit.order_by_merit(summaries_of(rows, count))
    left = [row for i, row in enumerate(rows) if i != first]
    assert [left[i] for i in merit.order_by_merit(summaries_of(left, count))] == [rows[i] for i in others]


@given(some(figures), st.tuples(*[st.floats(0, 1)] * 4), many_or_few)
def test_a_run_that_is_worse_in_everything_changes_no_winner(rows, worse, count):
    first = merit.order_by_merit(summaries_of(rows, count))[0]
    good, share, speed, mean = rows[first]
    added = (good * worse[0], share * worse[1], speed * worse[2], mean * (2 - worse[3]))
    assert merit.order_by_merit(summaries_of([*rows, added], count))[0] == first


def test_attainment_is_the_share_of_all_requests_that_keeps_the_slo():
    summary = run([(0, 10, 1), (0, 5000, 5)]).info.summary  # one token at one second; the other never fits
    assert (summary["rejected"], summary["attainment"]) == (1, 0.5)


def test_attainment_over_seeds_is_their_mean():
    assert metrics.averaged(summaries_of([(1, 0.2, 1, 1), (1, 0.4, 1, 1)])).attainment == pytest.approx(0.3)


def test_the_peak_of_several_seeds_is_the_highest_of_their_peaks():
    one, two = summaries_of([(1, 0.2, 1, 1), (1, 0.4, 1, 1)])
    several = [msgspec.structs.replace(s, peak_vram_bytes=peak) for s, peak in ((one, 100), (two, 300))]
    assert metrics.averaged(several).peak_vram_bytes == 300
