"""Who wins, and what is said of the others."""

import msgspec

from warpgroup.reports import comparison, verdict


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
        "ffd wins: goodput 1.00 against 0.800 requests/s (1.25x) of the runner-up paged, goodput 1.00 against 0.500 "
        "requests/s (2.00x) of count-continuous(n=8), the best count that fits; requests waited for memory 50% of the "
        "time under ffd."
    )


def test_a_run_with_out_of_memory_steps_does_not_win(info_with):
    judged = verdict([info_with("count-continuous(n=32)", goodput_req_s=9, ooms=5), info_with("paged")])
    assert judged.winner == 1
    assert "count-continuous(n=32) ran out of memory in 5 steps and is out of the contest." in judged.details
    assert "paged is the only complete run without an out-of-memory step" in judged.sentence


def test_if_everybody_ran_out_of_memory_nobody_is_out_of_the_contest(info_with):
    judged = verdict([info_with("count-static(n=9)", ooms=5), info_with("count-static(n=8)", ooms=2, goodput_req_s=2)])
    assert judged.winner == 1
    assert not any("out of the contest" in detail for detail in judged.details)
    assert "count-static(n=8) ran out of memory in 2 steps." in judged.details


def test_an_incomplete_run_does_not_win_and_is_called_so(info_with):
    infos = [info_with("paged", goodput_req_s=5, complete=False), info_with("ffd")]
    judged = verdict(infos)
    assert judged.winner == 1
    assert "paged is INCOMPLETE: it was interrupted." in judged.details
    assert comparison(infos, judged).rows[0][0].text == "paged INCOMPLETE"
    assert verdict(infos[:1]).sentence.startswith("INCOMPLETE")


def test_within_two_per_cent_nobody_wins(info_with):
    infos = [info_with("paged", goodput_req_s=0.99, total_tok_s=1010, e2e=5.05), info_with("ffd")]
    judged = verdict(infos)
    assert judged.tied
    assert judged.sentence.startswith("No difference between ffd and paged: goodput 1.00 requests/s, 1,000 tokens/s")
    assert "ffd (first-fit decreasing) gains nothing over paged here." in judged.details
    assert not any("(best)" in row[0].text for row in comparison(infos, judged).rows)


def test_at_equal_goodput_and_throughput_latency_decides(info_with):
    judged = verdict([info_with("paged", e2e=6.0), info_with("ffd", e2e=5.0)])
    assert judged.sentence.startswith("ffd wins: mean E2E 5.00 against 6.00 s (1.20x) of the runner-up paged")


def test_a_loss_of_first_fit_decreasing_is_said(info_with):
    judged = verdict([info_with("paged", goodput_req_s=1.5), info_with("ffd")])
    assert judged.details[0].startswith("ffd (first-fit decreasing) loses to paged: goodput 1.00 against 1.50")


def test_a_factor_over_a_figure_near_zero_is_not_given(info_with):
    judged = verdict([info_with("count-static(n=2)", goodput_req_s=0.001), info_with("ffd")])
    assert "goodput 1.00 against 0.00100 requests/s of the runner-up" in judged.sentence


def test_where_memory_was_never_tight_static_batching_loses_by_padding_and_barrier(info_with):
    judged = verdict(
        [
            info_with("count-static(n=8)", goodput_req_s=0.1, padding_waste=0.4, memory_bound_share=0),
            info_with("paged", memory_bound_share=0.001),
            info_with("ffd", memory_bound_share=0),
        ]
    )
    assert judged.sentence.endswith("memory was never the bottleneck.")
    text = "count-static(n=8) loses by padding (40% of what it computed) and by the batch barrier alone."
    assert text in judged.details


def test_runs_that_differ_in_more_than_the_policy_carry_a_caution(info_with):
    judged = verdict([info_with("paged"), info_with("ffd", device="h200")])
    assert judged.details[0] == "Caution: these runs differ in more than the policy: device."


def test_two_runs_of_one_policy_are_told_apart(info_with):
    judged = verdict([info_with("ffd"), info_with("ffd", kind="real", goodput_req_s=2)])
    assert judged.sentence.startswith(
        "ffd real wins: goodput 2.00 against 1.00 requests/s (2.00x) of the runner-up ffd s"
    )
    same = verdict([info_with("ffd"), info_with("ffd", goodput_req_s=2)])
    assert "ffd simulated #2 wins" in same.sentence


def test_one_run_is_described_and_wins_nothing(info_with):
    infos = [info_with("paged", ooms=3)]
    judged = verdict(infos)
    assert judged.sentence.startswith("paged finished 80 of 80 requests: goodput 1.00 requests/s")
    assert "3 out-of-memory steps" in judged.sentence
    assert comparison(infos, judged).rows[0][0].text == "paged"


def test_count_policies_alone_cannot_say_whether_memory_was_the_bottleneck(info_with):
    judged = verdict([info_with("count-static(n=2)"), info_with("count-continuous(n=2)", goodput_req_s=2)])
    assert "no count policy can say" in judged.sentence


def test_lost_requests_have_columns_only_if_there_are_any(info_with):
    infos = [info_with("paged"), info_with("ffd", rejected=2)]
    heads = [head for head, _ in comparison(infos, verdict(infos)).heads]
    assert heads[-1] == "rejected"
    assert "failed" not in heads


def test_an_upper_bound_is_called_one_and_never_wins(info_with):
    oracle = msgspec.structs.replace(info_with("oracle", goodput_req_s=2.0), upper_bound=True)
    infos = [oracle, info_with("paged", goodput_req_s=1.0), info_with("ffd-static", goodput_req_s=0.1)]
    judged = verdict(infos)
    assert judged.winner == 1
    assert judged.sentence.startswith("paged wins: goodput 1.00 against 0.100")
    assert "paged against oracle (upper bound), which knows true lengths: goodput 1.00 against 2.00" in "".join(
        judged.details
    )
    assert comparison(infos, judged).rows[0][0].text == "oracle (upper bound)"
    assert not any("first-fit decreasing" in detail for detail in judged.details)


def test_over_seeds_a_lead_has_its_interval(info_with):
    replicates = [
        [info_with("paged", goodput_req_s=1.0 + 0.1 * i) for i in range(3)],
        [info_with("ffd", goodput_req_s=2.0 + 0.2 * i) for i in range(3)],
    ]
    judged = verdict([group[0] for group in replicates], replicates)
    assert judged.headline == "ffd wins: 2.00x [2.00, 2.00] the goodput of paged"
    assert judged.lead is not None
    assert judged.lead[:2] == ("paged", "goodput")
    assert "3 seeds, intervals at 95 %" in judged.details[-1]


def test_a_lead_that_seeds_cannot_tell_from_none_is_called_so(info_with):
    replicates = [
        [info_with("paged", goodput_req_s=goodput) for goodput in (1.0, 1.6, 1.0)],
        [info_with("ffd", goodput_req_s=goodput) for goodput in (1.5, 1.0, 1.6)],
    ]
    judged = verdict([group[0] for group in replicates], replicates)
    assert judged.winner == 1
    assert judged.headline.startswith("ffd leads: ")
    assert "which 3 seeds cannot tell from it" in judged.sentence


def test_what_ran_out_of_memory_on_any_seed_is_out_of_the_contest(info_with):
    replicates = [
        [info_with("count-continuous(n=9)", goodput_req_s=9, ooms=ooms) for ooms in (0, 0, 4)],
        [info_with("paged") for _ in range(3)],
    ]
    judged = verdict([group[0] for group in replicates], replicates)
    assert judged.winner == 1
    assert "count-continuous(n=9) ran out of memory in 4 steps and is out of the contest." in judged.details
