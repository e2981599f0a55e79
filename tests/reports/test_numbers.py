"""How figures are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpgroup.reports.numbers import three_digits


@given(st.floats(0.001, 999_999))
def test_three_digits_are_written_and_nothing_after_them(value):
    text = three_digits(value)
    assert text[-1].isdigit()
    assert float(text.replace(",", "")) == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.00"), (1.0, "1.00"), (99.94, "99.9"), (99.96, "100"), (100.0, "100"), (-99.96, "-100")]
)
def test_rounding_up_to_a_hundred_leaves_no_point(value, text):
    assert three_digits(value) == text
