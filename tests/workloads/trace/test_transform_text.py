"""The texts of transforms, which records keep for good."""

import pytest

from warpgroup.workloads import Trace, dequantize, is_reshuffle, reshuffled, shuffle_lengths, without_seed

TWO = Trace.of_rows([(0, 1, 1), (10**9, 2, 2)], max_new_tokens=9)


@pytest.mark.parametrize("transform", ["reshuffled, seed 7", "dealt anew, seed 7"])
def test_a_reshuffle_is_recognised_in_records_of_any_age(transform):
    assert is_reshuffle(transform)
    assert not is_reshuffle("lengths shuffled, seed 7")


def test_only_a_reshuffle_is_one():
    assert [is_reshuffle(change(TWO, 3).source.transforms[-1]) for change in (reshuffled, shuffle_lengths)] == [
        True,
        False,
    ]


@pytest.mark.parametrize("change", [reshuffled, shuffle_lengths, dequantize])
def test_without_its_seed_a_text_is_the_same_for_all_seeds(change):
    one, other = (change(TWO, seed).source.transforms[-1] for seed in (1, 2))
    assert one != other
    assert without_seed(one) == without_seed(other)
