"""Who wins, and what is said of the others."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpgroup.records.merit import order_by_merit
from warpgroup.records.metrics import summary_of
from warpgroup.reports import comparison_table, verdict
from warpgroup.reports.judging.contender import labels_of
from warpgroup.reports.judging.figure import GOODPUT, MEAN_E2E, THROUGHPUT, deciding
from warpgroup.reports.judging.remarks import FACTORS


def test_the_winner_is_named_with_both_figures_and_compared_with_the_best_count(info_with):
    judged = verdict(
        [
            info_with("count-continuous(n=8)", goodput_req_s=0.5, memory_bound_share=0),
            info_with("count-continuous(n=2)", goodput_req_s=0.3, memory_bound_share=0),
            info_with("paged", goodput_req_s=0.8),
            info_with("ffd", goodput_req_s=1.0),
        ]
    )
    assert judged.winner == 3
    assert judged.sentence == (
        "ffd wins. Against the runner-up paged: goodput 1.00 against 0.800 requests/s (1.25x). Against "
        "count-continuous(n=8), the best count that fits: goodput 1.00 against 0.500 requests/s (2.00x). Under ffd, at "
        "least one request waited for memory during 50% of the run."
    )


def test_a_run_with_out_of_memory_steps_does_not_win(info_with):
    judged = verdict([info_with("count-continuous(n=32)", goodput_req_s=9, ooms=5), info_with("paged")])
    assert judged.winner == 1
    assert "count-continuous(n=32) ran out of memory in 5 steps, so it cannot win." in judged.details
    assert "paged is the only complete run without an out-of-memory step" in judged.sentence


def test_if_all_runs_ran_out_of_memory_one_of_them_wins(info_with):
    judged = verdict([info_with("count-static(n=9)", ooms=5), info_with("count-static(n=8)", ooms=2, goodput_req_s=2)])
    assert judged.winner == 1
    assert not any("cannot win" in detail for detail in judged.details)
    assert judged.headline.endswith("; all runs ran out of memory")
    each = "count-static(n=9) in 5 steps and count-static(n=8) in 2 steps"
    assert f" All runs ran out of memory: {each}. " in judged.sentence


def test_an_incomplete_run_does_not_win_and_is_called_so(info_with):
    infos = [info_with("paged", goodput_req_s=5, complete=False), info_with("ffd")]
    judged = verdict(infos)
    assert judged.winner == 1
    assert "paged is INCOMPLETE: it was interrupted." in judged.details
    assert comparison_table(judged).rows[0][0].text == "paged INCOMPLETE"
    assert verdict(infos[:1]).sentence.startswith("INCOMPLETE")


def test_within_two_per_cent_nobody_wins(info_with):
    infos = [info_with("paged", goodput_req_s=0.99, total_tok_s=1010, e2e=5.05), info_with("ffd")]
    judged = verdict(infos)
    assert judged.tied
    assert judged.sentence.startswith("No difference between ffd and paged: goodput 1.00 requests/s, 1,000 tokens/s")
    assert "ffd (first-fit decreasing) gains nothing over paged here." in judged.details
    assert not any("(best)" in row[0].text for row in comparison_table(judged).rows)


def test_at_equal_goodput_and_throughput_latency_decides(info_with):
    judged = verdict([info_with("paged", e2e=6.0), info_with("ffd", e2e=5.0)])
    assert judged.sentence.startswith("ffd wins. Against the runner-up paged: mean E2E 5.00 against 6.00 s (0.83x).")
    assert judged.headline == "ffd wins: 0.83x the mean E2E of paged"
    assert FACTORS in judged.details


def test_a_loss_of_first_fit_decreasing_is_said(info_with):
    judged = verdict([info_with("paged", goodput_req_s=1.5), info_with("ffd")])
    assert judged.details[0].startswith("ffd (first-fit decreasing) loses to paged: goodput 1.00 against 1.50")


def test_a_factor_over_a_figure_near_zero_is_not_given(info_with):
    judged = verdict([info_with("count-static(n=2)", goodput_req_s=0.001), info_with("ffd")])
    assert "Against the runner-up count-static(n=2): goodput 1.00 against 0.00100 requests/s." in judged.sentence


def test_goodput_of_a_handful_of_requests_decides_nothing(info_with):
    few = info_with("ffd", goodput_req_s=0.003, attainment=3 / 20_000, total_tok_s=500)
    judged = verdict([few, info_with("paged", goodput_req_s=0.002, attainment=2 / 20_000)])
    assert judged.headline == "paged wins: 2.00x the throughput of ffd"
    assert judged.factor is not None
    assert judged.factor.figure is THROUGHPUT


def test_the_best_count_is_chosen_by_what_decides_between_counts(info_with):
    """Nearly nothing is good under either, though under the winner half of all requests are."""
    counts = [
        info_with(f"count-continuous(n={n})", goodput_req_s=goodput, attainment=1e-4, total_tok_s=speed)
        for n, goodput, speed in ((8, 0.002, 500), (16, 0.001, 900))
    ]
    assert "count-continuous(n=16), the best count that fits" in verdict([*counts, *two_more(info_with)]).sentence


def two_more(info_with):
    return [info_with("paged", goodput_req_s=0.8), info_with("ffd")]


def test_over_seeds_the_share_in_time_is_not_diluted(info_with):
    replicates = [
        over_seeds(info_with, policy, [goodput] * 5, attainment=0.06) for policy, goodput in (("paged", 1), ("ffd", 2))
    ]
    judged = verdict([group[0] for group in replicates], replicates)
    assert judged.headline.endswith("the goodput of paged")


near = st.integers(95, 105)


@given(
    st.lists(
        st.tuples(near, st.floats(0.04, 0.06), near, st.floats(1, 100)),
        min_size=2, max_size=5, unique_by=lambda row: row[3],
    )
)  # fmt: skip
def test_the_figure_that_decides_never_has_the_winner_behind_the_runner_up(info_with, rows):
    summaries = [
        summary_of(info_with("paged", goodput_req_s=good / 100, attainment=share, total_tok_s=speed, e2e=mean))
        for good, share, speed, mean in rows
    ]
    best, second = (summaries[i] for i in order_by_merit(summaries)[:2])
    figure = deciding(best, second)
    if figure is not MEAN_E2E:
        assert figure.of(best) > figure.of(second)


def test_where_memory_was_never_tight_static_batching_loses_by_padding_and_barrier(info_with):
    judged = verdict(
        [
            info_with("count-static(n=8)", goodput_req_s=0.1, padding_waste=0.4, memory_bound_share=0),
            info_with("paged", memory_bound_share=0.001),
            info_with("ffd", memory_bound_share=0),
        ]
    )
    assert judged.sentence.endswith(" Memory was never the bottleneck.")
    text = "so count-static(n=8) loses only by padding (40% of what it computed) and by the batch barrier."
    assert any(detail.endswith(text) for detail in judged.details)


def test_runs_that_differ_in_more_than_the_policy_carry_a_caution(info_with):
    ffd = info_with("ffd")
    profiled = msgspec.structs.replace(ffd.scenario, step_time="profile")
    judged = verdict([info_with("paged"), msgspec.structs.replace(ffd, scenario=profiled)])
    assert judged.details[0] == "Caution: these runs differ in more than the policy: step_time."


def test_two_runs_of_one_policy_are_told_apart(info_with):
    same = verdict([info_with("ffd"), info_with("ffd", goodput_req_s=2)])
    assert same.sentence.startswith(
        "ffd #2 wins. Against the runner-up ffd #1: goodput 2.00 against 1.00 requests/s (2.00x)."
    )
    assert labels_of([info_with("ffd"), info_with("paged", kind="real")]) == ["ffd (simulated)", "paged (real)"]


def test_a_prediction_does_not_compete_with_its_own_measurement(info_with):
    """However good it is: the measurement stands for both, and the runner-up is another policy."""
    infos = [
        info_with("ffd", goodput_req_s=9),
        info_with("paged", kind="real", goodput_req_s=1),
        info_with("ffd", kind="real", goodput_req_s=2),
        info_with("paged", goodput_req_s=9),
    ]
    judged = verdict(infos)
    assert judged.ranking == [2, 1]
    assert judged.headline == "ffd (real) wins: 2.00x the goodput of paged (real)"
    assert judged.name == "ffd (real)"
    text = "ffd (simulated) and paged (simulated) are not ranked: the same case was also measured."
    assert text in judged.details
    assert "prediction" not in judged.sentence
    assert [row[0].text for row in comparison_table(judged).rows] == [
        "ffd (simulated)",
        "paged (real)",
        "ffd (real) (best)",
        "paged (simulated)",
    ]


def test_a_run_beside_its_simulation_is_compared_with_nobody_else(info_with):
    infos = [info_with("ffd", goodput_req_s=2), info_with("ffd", kind="real")]
    judged = verdict(infos)
    assert judged.winner == 1
    assert judged.headline == "ffd (real) is compared only with its own simulation"


def test_what_nobody_measured_competes_and_is_called_a_prediction(info_with):
    infos = [info_with("ffd"), info_with("ffd", kind="real"), info_with("skyline", goodput_req_s=2)]
    judged = verdict(infos)
    assert judged.ranking == [2, 1]
    assert judged.headline == "skyline (simulated) wins: 2.00x the goodput of ffd (real)"
    assert " skyline (simulated) is a prediction, not a measurement. " in judged.sentence
    assert any(detail.startswith("ffd (real) (first-fit decreasing) loses to skyline") for detail in judged.details)


def test_a_simulation_of_what_was_interrupted_or_of_another_device_stands_for_itself(info_with):
    for real in (info_with("ffd", kind="real", complete=False), info_with("ffd", kind="real", device="h200")):
        assert 0 in verdict([info_with("ffd", goodput_req_s=2), real]).ranking


def test_a_measurement_that_ran_out_of_memory_is_not_replaced_by_its_simulation(info_with):
    infos = [info_with("count-static(n=9)", goodput_req_s=9), info_with("count-static(n=9)", kind="real", ooms=3)]
    assert verdict([*infos, info_with("paged", kind="real")]).ranking == [2]


def test_one_run_is_described_and_wins_nothing(info_with):
    infos = [info_with("paged", ooms=3)]
    judged = verdict(infos)
    assert judged.sentence.startswith("paged finished 80 of 80 requests: goodput 1.00 requests/s")
    assert all("t ran out of memory in 3 steps" in text for text in (judged.headline, judged.sentence))
    assert comparison_table(judged).rows[0][0].text == "paged"


def test_count_policies_alone_cannot_say_whether_memory_was_the_bottleneck(info_with):
    judged = verdict([info_with("count-static(n=2)"), info_with("count-continuous(n=2)", goodput_req_s=2)])
    assert "Count policies do not look at memory" in judged.sentence


def test_lost_requests_have_columns_only_if_there_are_any(info_with):
    infos = [info_with("paged"), info_with("ffd", rejected=2)]
    heads = [head for head, _ in comparison_table(verdict(infos)).heads]
    assert heads[-1] == "rejected"
    assert "failed" not in heads


def test_an_upper_bound_is_called_one_and_never_wins(info_with):
    oracle = msgspec.structs.replace(info_with("oracle", goodput_req_s=2.0), upper_bound=True)
    infos = [oracle, info_with("paged", goodput_req_s=1.0), info_with("ffd-static", goodput_req_s=0.1)]
    judged = verdict(infos)
    assert judged.winner == 1
    assert judged.sentence.startswith("paged wins. Against the runner-up ffd-static: goodput 1.00 against 0.100")
    assert (
        "paged against oracle (upper bound), which knows the true output lengths: goodput 1.00 against 2.00"
        in "".join(judged.details)
    )
    assert comparison_table(judged).rows[0][0].text == "oracle (upper bound)"
    assert not any("first-fit decreasing" in detail for detail in judged.details)


def test_one_run_beside_upper_bounds_is_not_called_the_only_one_that_fits(info_with):
    oracle = msgspec.structs.replace(info_with("oracle", goodput_req_s=2.0), upper_bound=True)
    judged = verdict([info_with("paged"), oracle])
    assert judged.headline == "paged is compared only with upper bounds"
    assert judged.sentence.startswith("paged is compared only with upper bounds: goodput 1.00")


def test_the_only_complete_run_is_not_said_to_have_kept_within_memory_if_it_did_not(info_with):
    judged = verdict([info_with("paged", complete=False), info_with("count-static(n=9)", ooms=3)])
    assert judged.winner == 1
    assert judged.headline == "count-static(n=9) is the only complete run; it ran out of memory"


def test_where_everybody_ran_out_of_memory_no_count_is_said_to_fit(info_with):
    infos = [
        info_with(policy, ooms=3, goodput_req_s=i) for i, policy in enumerate(["count-static(n=9)", "ffd", "paged"])
    ]
    assert "Against count-static(n=9), the best count: " in verdict(infos).sentence


def test_first_fit_decreasing_does_not_lose_to_what_it_beats_though_a_count_beats_both(info_with):
    infos = [info_with("count-continuous(n=9)", goodput_req_s=3), info_with("ffd", goodput_req_s=2), info_with("paged")]
    assert "ffd against paged: goodput 2.00 against 1.00" in "".join(verdict(infos).details)


def over_seeds(info_with, policy, goodputs, first=0, **more):
    return [info_with(policy, seed=seed, goodput_req_s=each, **more) for seed, each in enumerate(goodputs, first)]


def test_over_unlike_seeds_policies_are_compared_on_those_that_they_share(info_with):
    """The last seed is easy, and only one of them was run on it."""
    replicates = [over_seeds(info_with, "paged", [1.0, 1.1, 9.0]), over_seeds(info_with, "ffd", [2.0, 2.2])]
    judged = verdict([group[0] for group in replicates], replicates)
    assert judged.headline == "ffd wins: 2.00x [2.00, 2.00] the goodput of paged"
    assert "Left out, because not every policy completed it: seed 2." in judged.details


def test_seeds_are_paired_by_their_number_and_not_by_their_place(info_with):
    replicates = [
        over_seeds(info_with, "paged", [1.0, 2.0, 4.0]),
        over_seeds(info_with, "ffd", [3.0, 6.0, 1.0], first=1),
    ]
    judged = verdict([group[0] for group in replicates], replicates)
    assert judged.headline.startswith("ffd wins: 1.50x [1.50, 1.50]")


def test_without_a_common_seed_an_advantage_has_no_interval(info_with):
    replicates = [over_seeds(info_with, "paged", [1.0, 1.1]), over_seeds(info_with, "ffd", [2.0, 2.2], first=2)]
    judged = verdict([group[0] for group in replicates], replicates)
    assert judged.headline == "ffd wins: 2.00x the goodput of paged"


def test_a_seed_that_was_interrupted_is_left_out_and_said_so(info_with):
    interrupted = info_with("ffd", seed=2, goodput_req_s=99, complete=False)
    replicates = [
        over_seeds(info_with, "paged", [1.0, 1.1, 1.2]),
        [*over_seeds(info_with, "ffd", [2.0, 2.2]), interrupted],
    ]
    judged = verdict([group[0] for group in replicates], replicates)
    assert judged.headline == "ffd wins: 2.00x [2.00, 2.00] the goodput of paged"
    assert "ffd is INCOMPLETE on 1 of 3 seeds: it was interrupted." in judged.details


def test_an_advantage_without_a_factor_is_no_win_either_if_seeds_cannot_tell(info_with):
    """On one seed nothing is good: there is no ratio."""
    replicates = [over_seeds(info_with, "paged", [0.0, 1.6, 1.0]), over_seeds(info_with, "ffd", [1.5, 1.0, 1.6])]
    judged = verdict([group[0] for group in replicates], replicates)
    assert judged.headline == "ffd leads, by its goodput"
    assert "The 3 seeds cannot tell the two apart." in judged.sentence


def test_over_seeds_a_factor_that_is_too_large_to_say_anything_is_not_given_either(info_with):
    """Nine times as much at best, and a hundred times where there is next to nothing."""
    replicates = [over_seeds(info_with, "paged", [1.0, 0.01]), over_seeds(info_with, "ffd", [9.0, 1.0])]
    judged = verdict([group[0] for group in replicates], replicates)
    assert judged.factor is None
    assert "(30.00x" not in judged.sentence


def test_an_advantage_too_large_for_a_factor_is_a_win_if_every_seed_shows_it(info_with):
    replicates = [over_seeds(info_with, "paged", [0.01, 0.1]), over_seeds(info_with, "ffd", [1.0, 9.5])]
    judged = verdict([group[0] for group in replicates], replicates)
    assert judged.headline == "ffd wins, by its goodput"


def test_over_seeds_an_advantage_has_its_interval(info_with):
    replicates = [
        [info_with("paged", seed=i, goodput_req_s=1.0 + 0.1 * i) for i in range(3)],
        [info_with("ffd", seed=i, goodput_req_s=2.0 + 0.2 * i) for i in range(3)],
    ]
    judged = verdict([group[0] for group in replicates], replicates)
    assert judged.headline == "ffd wins: 2.00x [2.00, 2.00] the goodput of paged"
    assert judged.factor is not None
    assert (judged.factor.label, judged.factor.figure) == ("paged", GOODPUT)
    assert "3 seeds: figures and factors are geometric means" in judged.details[-1]


def test_a_loss_of_first_fit_decreasing_that_seeds_cannot_tell_from_none_is_not_called_a_loss(info_with):
    replicates = [
        over_seeds(info_with, "paged", [1.5, 1.0, 1.6]),
        over_seeds(info_with, "ffd", [1.0, 1.6, 1.0]),
    ]
    judged = verdict([group[0] for group in replicates], replicates)
    assert not any("loses to" in detail for detail in judged.details)
    assert any("ffd (first-fit decreasing) cannot be told apart from paged: " in detail for detail in judged.details)


def test_an_advantage_that_seeds_cannot_tell_from_none_is_called_so(info_with):
    replicates = [
        over_seeds(info_with, "paged", [1.0, 1.6, 1.0]),
        over_seeds(info_with, "ffd", [1.5, 1.0, 1.6]),
    ]
    judged = verdict([group[0] for group in replicates], replicates)
    assert judged.winner == 1
    assert judged.headline.startswith("ffd leads: ")
    assert "The 3 seeds cannot tell the two apart." in judged.sentence


def test_what_ran_out_of_memory_on_any_seed_is_out_of_the_contest(info_with):
    replicates = [
        [info_with("count-continuous(n=9)", seed=i, goodput_req_s=9, ooms=ooms) for i, ooms in enumerate((0, 0, 4))],
        [info_with("paged", seed=i) for i in range(3)],
    ]
    judged = verdict([group[0] for group in replicates], replicates)
    assert judged.winner == 1
    text = "count-continuous(n=9) ran out of memory on 1 of 3 seeds, in 4 steps in all, so it cannot win."
    assert text in judged.details
    assert judged.factor is None


def test_who_is_ranked_first_is_never_behind(info_with):
    replicates = [
        [info_with("paged", goodput_req_s=goodput, seed=seed) for seed, goodput in enumerate((0.1, 0.1, 5.0))],
        [info_with("ffd", goodput_req_s=1.0, seed=seed) for seed in range(3)],
    ]
    judged = verdict([group[0] for group in replicates], replicates)
    assert judged.winner == 1
    assert judged.factor is not None
    assert judged.factor.mean.value > 1


def changed(info, what: str):
    """Another of those that make figures incomparable, and nothing else."""
    scenario = info.scenario
    limits = {"memory": {"vram_bytes": 20 << 30}, "limits": {"max_wait_s": 4}}.get(what)
    if limits:
        inputs = scenario.inputs
        inputs = msgspec.structs.replace(inputs, limits=msgspec.structs.replace(inputs.limits, **limits))
        return msgspec.structs.replace(info, scenario=msgspec.structs.replace(scenario, inputs=inputs))
    other = {
        "trace": {"trace": msgspec.structs.replace(scenario.trace, content_hash="another")},
        "model": {"model": "another"},
        "device": {"device": "another"},
        "SLO": {"slo_ttft_s": 99.0},
    }[what]
    return msgspec.structs.replace(info, scenario=msgspec.structs.replace(scenario, **other))


@pytest.mark.parametrize("what", ["trace", "model", "device", "memory", "limits", "SLO"])
def test_runs_of_unlike_circumstances_have_no_winner(info_with, what):
    infos = [info_with("paged"), changed(info_with("ffd", goodput_req_s=2), what)]
    judged = verdict(infos)
    assert judged.headline == f"Not comparable: the runs differ in {what}"
    assert judged.sentence.startswith(f"{judged.headline}. Run every policy with the same --")
    assert (judged.winner, judged.factor, judged.ranking) == (None, None, [0, 1])
    assert not any("(best)" in row[0].text for row in comparison_table(judged).rows)
    assert not any("against" in detail for detail in judged.details)


def test_what_does_not_compete_makes_nothing_incomparable(info_with):
    """An upper bound, and the simulation of what was measured."""
    oracle = msgspec.structs.replace(changed(info_with("oracle"), "memory"), upper_bound=True)
    assert verdict([info_with("paged"), info_with("ffd", goodput_req_s=2), oracle]).winner == 1


def test_other_seeds_draw_other_requests_and_are_compared_seed_by_seed(info_with):
    def drawn(info, name):
        trace = msgspec.structs.replace(info.scenario.trace, content_hash=name)
        return msgspec.structs.replace(info, scenario=msgspec.structs.replace(info.scenario, trace=trace))

    replicates = [
        [drawn(info, f"of {info.seed}") for info in over_seeds(info_with, policy, goodputs)]
        for policy, goodputs in (("paged", [1.0, 1.0, 1.0]), ("ffd", [2.0, 2.0]))
    ]
    assert verdict([group[0] for group in replicates], replicates).winner == 1
    replicates[1][1] = drawn(replicates[1][1], "of another")
    assert verdict([group[0] for group in replicates], replicates).headline.endswith("differ in trace")


@pytest.mark.parametrize("policies", [["paged"], ["paged", "ffd"]])
def test_where_nothing_finished_nothing_is_said_of_a_bottleneck(info_with, policies):
    judged = verdict([info_with(policy, finished=0, rejected=80, goodput_req_s=0) for policy in policies])
    assert judged.headline == "Nothing finished: 80 of 80 requests rejected"
    assert judged.winner is None
    assert "bottleneck" not in judged.sentence
    assert "paged rejected 80 of 80 requests (100%)." in judged.details


def test_a_hundredth_of_the_requests_that_was_rejected_is_mentioned_and_less_is_not(info_with):
    infos = [info_with("paged", requests=1000, rejected=10), info_with("ffd", requests=1000, rejected=9)]
    found = [detail for detail in verdict(infos).details if "rejected" in detail]
    assert found == ["paged rejected 10 of 1,000 requests (1%)."]


def test_one_good_request_of_six_decides_nothing(info_with):
    infos = [
        info_with("paged", requests=6, finished=6, attainment=1 / 6, goodput_req_s=0.1, total_tok_s=500),
        info_with("ffd", requests=6, finished=6, attainment=0, goodput_req_s=0, total_tok_s=900),
    ]
    assert verdict(infos).headline == "ffd wins: 1.80x the throughput of paged"


def test_a_count_that_fits_where_it_was_searched_and_not_elsewhere_is_the_one_to_beat_and_is_called_so(info_with):
    replicates = [
        over_seeds(info_with, "count-static(n=3)", [0.01] * 3),
        [info_with("count-continuous(n=8)", seed=i, goodput_req_s=0.94, ooms=ooms) for i, ooms in enumerate((0, 0, 3))],
        over_seeds(info_with, "paged", [0.9] * 3),
        over_seeds(info_with, "ffd", [1.0] * 3),
    ]
    replicates[1][0] = msgspec.structs.replace(replicates[1][0], note="no count is too large here")
    judged = verdict([group[0] for group in replicates], replicates)
    assert (
        "Against count-continuous(n=8), the best count on seed 0 (it ran out of memory on 1 of 3 seeds, in 3 steps in "
        "all): goodput 1.00 against 0.940 requests/s (1.06x [1.06, 1.06])." in judged.sentence
    )
    assert "count-static" not in judged.sentence
    assert judged.factor.label == "paged"
    assert "count-continuous(n=8), count searched on seed 0: no count is too large here." in judged.details


@given(st.lists(st.tuples(*[st.floats(1, 9)] * 3), min_size=2, max_size=4))
def test_a_factor_is_the_first_figure_over_the_second_wherever_it_stands(info_with, rows):
    infos = [info_with("paged", goodput_req_s=good, total_tok_s=100 * speed, e2e=mean) for good, speed, mean in rows]
    judged = verdict(infos)
    text = " ".join([judged.sentence, *judged.details]).replace(",", "")
    for first, second, factor in re.findall(r"([\d.]+) against ([\d.]+) \S+ \(([\d.]+)x\)", text):
        assert float(factor) == pytest.approx(float(first) / float(second), rel=0.011, abs=0.006)


def test_where_memory_holds_no_request_it_is_not_said_to_be_no_bottleneck(info_with):
    rejected = info_with("paged", finished=0, rejected=80, goodput_req_s=0, total_tok_s=0, memory_bound_share=0)
    judged = verdict([info_with("count-static(n=2)"), rejected, info_with("count-static(n=3)", goodput_req_s=2)])
    assert judged.sentence.endswith(" No policy that looks at memory finished a request.")
    assert not any("barrier" in detail for detail in judged.details)
