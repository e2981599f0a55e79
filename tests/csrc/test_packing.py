"""Bin packing: against a plain reference, and the traps that other packers fall into."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpgroup.csrc import pack

items = st.integers(1, 60).flatmap(
    lambda capacity: st.tuples(st.lists(st.integers(0, capacity), max_size=80), st.just(capacity))
)


def first_fit(lengths: list[int], order: list[int], capacity: int) -> list[int]:
    room: list[int] = []
    bin_of = [0] * len(lengths)
    for item in order:
        fitting = [b for b, left in enumerate(room) if left >= lengths[item]]
        if not fitting:
            room.append(capacity)
        bin_of[item] = fitting[0] if fitting else len(room) - 1
        room[bin_of[item]] -= lengths[item]
    return bin_of


def next_fit(lengths: list[int], capacity: int) -> list[int]:
    bins, room, bin_of = 0, -1, []
    for length in lengths:
        if length > room:
            bins, room = bins + 1, capacity
        room -= length
        bin_of.append(bins - 1)
    return bin_of


@given(items)
def test_first_fit_is_first_fit(case):
    lengths, capacity = case
    expected = first_fit(lengths, list(range(len(lengths))), capacity)
    assert pack(np.array(lengths, dtype=np.int64), capacity, "first-fit").bin_of.tolist() == expected


@given(items)
def test_ffd_is_first_fit_by_decreasing_length_ties_in_the_given_order(case):
    lengths, capacity = case
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    result = pack(np.array(lengths, dtype=np.int64), capacity)
    assert result.bin_of.tolist() == first_fit(lengths, order, capacity)
    assert result.num_bins == len(set(result.bin_of.tolist()))


@given(items)
def test_next_fit_is_next_fit(case):
    lengths, capacity = case
    assert pack(np.array(lengths, dtype=np.int64), capacity, "next-fit").bin_of.tolist() == next_fit(lengths, capacity)


@given(items, st.sampled_from(["ffd", "first-fit", "next-fit"]))
def test_no_bin_is_overfull(case, algorithm):
    lengths, capacity = case
    result = pack(np.array(lengths, dtype=np.int64), capacity, algorithm)
    assert np.bincount(result.bin_of, weights=lengths, minlength=1).max(initial=0) <= capacity


def test_ffd_differs_from_worst_fit_decreasing():
    # 6 5 | 4 3 2: worst fit would put the 2 beside the 4 and the 3 alone is not the point: it goes to the roomiest.
    assert pack(np.array([6, 5, 4, 3, 2]), 10).bin_of.tolist() == [0, 1, 0, 1, 1]
    assert pack(np.array([7, 5, 2]), 10).bin_of.tolist() == [0, 1, 0]


def test_ffd_sorts_whatever_the_order_of_the_input():
    assert pack(np.array([4, 6, 4, 6]), 10).num_bins == 2


def test_the_result_is_a_view_that_keeps_its_memory_alive():
    bin_of = pack(np.arange(1, 10_001, dtype=np.int64), 10_000).bin_of
    before = bin_of.copy()
    for _ in range(5):
        pack(np.arange(1, 10_001, dtype=np.int64), 10_000)
    assert not bin_of.flags.owndata
    assert np.array_equal(bin_of, before)


@pytest.mark.parametrize(
    ("lengths", "capacity", "algorithm", "message"),
    [
        ([1, 11], 10, "ffd", "item 1 has size 11, expected 0 to the capacity, 10"),
        ([-1], 10, "ffd", "item 0 has size -1"),
        ([1], 0, "ffd", "capacity is 0"),
        ([1], 10, "best", "unknown packing algorithm 'best'"),
        ([[1, 2]], 10, "ffd", "2 dimensions"),
    ],
)
def test_bad_input_is_named(lengths, capacity, algorithm, message):
    with pytest.raises(ValueError, match=message):
        pack(np.array(lengths), capacity, algorithm)


def test_lengths_that_are_not_integers_are_refused():
    with pytest.raises(TypeError):
        pack(np.array([1.5, 2.5]), 10)
