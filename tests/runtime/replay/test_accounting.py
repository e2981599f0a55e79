"""The sums over the steps of a replay, on numbers that can be checked by hand."""

from types import SimpleNamespace

import pytest

from warpgroup.runtime.replay.accounting import Accounting, budget_left

PLAN = SimpleNamespace(work=SimpleNamespace(prefill_tokens=10, decode_rows=2, sampled_rows=3))
MEMORY = SimpleNamespace(
    activation=lambda **work: SimpleNamespace(bytes=100 * work["prefill_tokens"]),
    budget_bytes=1000,
    fixed_bytes=300,
    activation_reserve_bytes=100,
    block_bytes=50,
)


def added(*steps: tuple[int, int, bool]) -> Accounting:
    """Steps of (start, end, idle before it)."""
    accounting = Accounting(MEMORY)
    for number, (start_ns, end_ns, was_idle) in enumerate(steps):
        facts = SimpleNamespace(predicted_bytes=500 - number)
        accounting.add(PLAN, facts, peak_bytes=400 + number, start_ns=start_ns, end_ns=end_ns, was_idle=was_idle)
    return accounting


def test_busy_time_is_that_of_the_steps_and_counts_overlap_once():
    assert added((100, 200, False), (150, 300, False)).busy_share == 1.0
    assert added((100, 200, False), (300, 400, False)).busy_share == pytest.approx(200 / 300)


def test_a_gap_is_the_hosts_only_if_there_was_work():
    assert added((0, 10, False), (30, 40, False)).host_gap_s == pytest.approx(20e-9 / 2)
    assert added((0, 10, False), (30, 40, True)).host_gap_s == 0


def test_peaks_are_those_of_the_largest_steps():
    accounting = added((0, 10, False), (10, 20, False))
    assert (accounting.predicted_peak_bytes, accounting.measured_peak_bytes) == (500, 401)
    assert (accounting.predicted_temporary_bytes, accounting.tokens, accounting.steps) == (1000, 24, 2)


def test_no_steps_are_no_time():
    assert (added().busy_share, added().host_gap_s) == (0, 0)


@pytest.mark.parametrize(("left", "budget"), [(None, 1000), (2000, 1000), (700, 700), (100, 450)])
def test_the_budget_is_what_others_leave_but_never_less_than_one_block_needs(left, budget):
    assert budget_left(MEMORY, SimpleNamespace(left_bytes=left)) == budget
