"""How figures are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpgroup.reports.numbers import gib, percent, three_digits, typeset


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


@pytest.mark.parametrize(
    ("size", "text"),
    [(24 << 30, "24.0 GiB"), (205 << 20, "0.2 GiB"), (102 << 20, "102.0 MiB"), (2_936_013, "2.8 MiB"), (0, "0.0 MiB")],
)
def test_a_size_is_in_a_unit_that_leaves_it_a_digit(size, text):
    assert gib(size) == text


@pytest.mark.parametrize(("share", "text"), [(0, "0%"), (0.003, "<1%"), (0.006, "1%"), (0.914, "91%")])
def test_a_share_that_is_not_nothing_is_not_written_as_nothing(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("wins: 2.48x [2.37, 2.56] the goodput", "wins: 2.48× [2.37, 2.56] the goodput"),
        (">= 2.00x", "≥ 2.00×"),
        ("TTFT <= 10 s, TPOT <= 100 ms", "TTFT ≤ 10 s, TPOT ≤ 100 ms"),
        ("rate x0.5", "rate ×0.5"),
        ("-0.02 [-0.05, 0.01], costs -1", "-0.02 [-0.05, 0.01], costs -1".replace("-", "\N{MINUS SIGN}")),
        ("count-8(a=-1) 2023-11-16 p-1 --n -x", "count-8(a=-1) 2023-11-16 p-1 --n -x"),
        ("axis exact 0x10 matrix-x86 v2x 1.0xy", "axis exact 0x10 matrix-x86 v2x 1.0xy"),
    ],
)
def test_a_page_has_signs_where_they_are_meant_and_nowhere_else(text, shown):
    assert typeset(text) == shown
