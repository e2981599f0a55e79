"""Traces made in Python: from rows of whole numbers, and from data frames."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpgroup.errors import InvalidTrace
from warpgroup.workloads import Trace

UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
ROWS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 500), st.integers(1, 500)), min_size=1, max_size=30)


def frame(rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["at", "in", "out"])


def of_frame(df, **options) -> Trace:
    return Trace.from_dataframe(df, **{"arrival": "at", "prompt": "in", "output": "out"} | options)


def rows_of(trace: Trace) -> list[tuple[int, int, int]]:
    return [*zip(*(c.tolist() for c in (trace.arrival_ns, trace.prompt_tokens, trace.output_tokens)), strict=True)]


@given(rows=ROWS, unit=st.sampled_from(list(UNITS)))
def test_a_frame_is_the_same_trace_in_every_unit_sorted_and_from_0(rows, unit):
    in_order = sorted(rows, key=lambda row: row[0])
    expected = [((at - in_order[0][0]) * UNITS[unit], prompt, output) for at, prompt, output in in_order]
    for kind in ("int64", "float64", "Int64", "object"):
        made = of_frame(frame(rows).astype({"at": kind}), unit=unit, max_new_tokens=500)
        assert rows_of(made) == expected
        assert made.has_times


@given(rows=ROWS, unit=st.sampled_from(list(UNITS)), zone=st.sampled_from([None, "UTC", "Asia/Kolkata"]))
def test_dates_and_durations_carry_their_unit(rows, unit, zone):
    df = frame(rows)
    expected = rows_of(of_frame(df, unit=unit))
    dates = pd.Series(pd.to_datetime(df["at"], unit=unit)).astype(f"datetime64[{unit}]")
    durations = df["at"].to_numpy().astype(f"timedelta64[{unit}]")
    for times in (dates.dt.tz_localize(zone), durations):
        assert rows_of(of_frame(df.assign(at=times))) == expected


@given(rows=ROWS, limit=st.integers(1, 500))
def test_outputs_beyond_max_new_tokens_are_clipped_and_counted(rows, limit):
    made = of_frame(frame(rows), unit="s", max_new_tokens=limit)
    longer = sum(row[2] > limit for row in rows)
    assert made.source.repaired == ({"output_clipped_to_max_new_tokens": longer} if longer else {})
    assert {*made.source.examples} == {*made.source.repaired}
    assert made.output_tokens.max() <= limit == made.max_new_tokens
    assert made.source.transforms == ()


@given(rows=ROWS, other=st.lists(st.integers(1, 500), min_size=30, max_size=30))
def test_the_default_of_max_new_tokens_does_not_depend_on_outputs_and_is_noted(rows, other):
    df = frame(rows)
    one, two = of_frame(df, unit="s"), of_frame(df.assign(out=other[: len(df)]), unit="s")
    assert one.max_new_tokens == two.max_new_tokens == 4096
    assert one.source.transforms == ("max_new_tokens 4096 by default",)


def test_a_frame_without_arrivals_is_a_trace_without_times():
    made = Trace.from_dataframe({"in": [5, 6], "out": [7, 8]}, arrival=None, prompt="in", output="out")
    assert (rows_of(made), made.has_times) == ([(0, 5, 7), (0, 6, 8)], False)


def test_large_times_in_nanoseconds_are_exact():
    df = frame([(1_700_000_000_000_000_001, 1, 1), (1_700_000_000_000_000_003, 1, 1)])
    assert of_frame(df, unit="ns").arrival_ns.tolist() == [0, 2]


GOOD = {"at": [0.5, 1.5], "in": [5, 6], "out": [7, 8]}


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {}, "column 'at' holds numbers: give their unit, one of s, ms, us, ns"),
        ({}, {"unit": "min"}, "give their unit, not 'min', one of s, ms, us, ns"),
        ({"at": pd.to_datetime(["2024", "2025"])}, {"unit": "s"}, "holds dates, which have their own unit"),
        ({}, {"unit": "s", "arrival": None}, "unit is 's', but no column holds arrivals"),
        ({}, {"unit": "s", "prompt": "x"}, "has no column 'x'; its columns are 'at', 'in', 'out'"),
        ({"at": [0.5, np.nan]}, {"unit": "s"}, "row 1, column 'at': 'nan' is not a time of arrival"),
        ({"at": ["0.5", "soon"]}, {"unit": "s"}, "column 'at' holds text, such as '0.5': convert it with pd.to_datet"),
        ({"at": ["2024-01-01", "2024-01-02"]}, {}, "column 'at' holds text, such as '2024-01-01': convert it with pd."),
        ({}, {"unit": "ns"}, "row 0, column 'at': '0.5' is not a whole number of nanoseconds; .* give unit='s'"),
        ({"at": pd.to_datetime(["2024", None])}, {}, "row 1, column 'at': 'NaT' is not a time of arrival"),
        ({"at": [-8e9, 8e9]}, {"unit": "s"}, "arrivals span 1.6e.10 s: is the unit right"),
        ({"in": [5, -6]}, {"unit": "s"}, "row 1, column 'in': '-6' is not a number of tokens"),
        ({"in": [0, 6]}, {"unit": "s"}, "row 0, column 'in': '0' is not a number of tokens"),
        ({"in": [2**31, 6]}, {"unit": "s"}, "row 0, column 'in': '2147483648' is not a number of tokens"),
        ({"out": [7, 8.5]}, {"unit": "s"}, "row 1, column 'out': '8.5' is not a number of tokens"),
        ({"out": [7, None]}, {"unit": "s"}, "row 1, column 'out': 'nan' is not a number of tokens"),
        ({"out": [True, False]}, {"unit": "s"}, "row 0, column 'out': 'True' is not a whole number of tokens"),
        ({"out": ["x" * 99, 8]}, {"unit": "s"}, f"'{'x' * 40}...' is not a whole number"),
        ({"at": [], "in": [], "out": []}, {"unit": "s"}, "the data frame has no rows"),
        ({}, {"unit": "s", "max_new_tokens": 0}, "max_new_tokens is 0, expected one whole number for all requests"),
        ({}, {"unit": "s", "max_new_tokens": 512.5}, "max_new_tokens is 512.5, expected one whole number"),
        ({}, {"unit": "s", "max_new_tokens": 2**40}, "max_new_tokens is 1099511627776, .* from 1 to 2147483647"),
        ({}, {"unit": "s", "max_new_tokens": float("nan")}, "max_new_tokens is nan, expected one whole number"),
        ({}, {"unit": "s", "max_new_tokens": "limit"}, "max_new_tokens is 'limit', expected one whole number"),
        ({}, {"unit": "s", "max_new_tokens": True}, "max_new_tokens is True, expected one whole number"),
    ],
)
def test_a_bad_frame_is_refused_in_one_line(change, options, message):
    with pytest.raises(InvalidTrace, match=message) as refused:
        of_frame(pd.DataFrame(GOOD | change), **options)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("limit", [512.0, np.int32(512), np.float64(512)])
def test_a_limit_may_be_any_whole_number(limit):
    made = of_frame(pd.DataFrame(GOOD), unit="s", max_new_tokens=limit)
    assert (made.max_new_tokens, type(made.max_new_tokens)) == (512, int)
    assert Trace.of_rows([(0, 1, 1)], max_new_tokens=limit).max_new_tokens == 512
    with pytest.raises(InvalidTrace, match="max_new_tokens is 0.5"):
        Trace.of_rows([(0, 1, 1)], max_new_tokens=0.5)


@pytest.mark.parametrize("zone", [None, UTC, timezone(timedelta(hours=2))])
def test_objects_of_datetime_are_arrivals(zone):
    begin = datetime(2024, 1, 1, 12, tzinfo=zone)
    times = pd.Series([begin, begin + timedelta(seconds=1.5)], dtype=object)
    assert of_frame(pd.DataFrame(GOOD | {"at": times})).arrival_ns.tolist() == [0, 1_500_000_000]
    spans = pd.Series([timedelta(0), timedelta(seconds=1.5)], dtype=object)
    assert of_frame(pd.DataFrame(GOOD | {"at": spans})).arrival_ns.tolist() == [0, 1_500_000_000]
    with pytest.raises(InvalidTrace, match="row 1, column 'at': 'NaT' is not a time of arrival"):
        of_frame({**GOOD, "at": np.array([begin, None], dtype=object)})


def test_a_table_of_pyarrow_is_a_frame():
    assert rows_of(of_frame(pa.table(GOOD), unit="s")) == [(0, 5, 7), (1_000_000_000, 6, 8)]
    dates = pa.table(GOOD | {"at": pd.to_datetime(["2024-01-01", "2024-01-02"], utc=True)})
    assert of_frame(dates).arrival_ns.tolist() == [0, 86_400 * 10**9]
    with pytest.raises(InvalidTrace, match="no column 'x'; its columns are 'at', 'in', 'out'"):
        of_frame(pa.table(GOOD), unit="s", prompt="x")


def test_a_column_that_is_there_twice_and_what_is_no_frame_are_refused():
    with pytest.raises(InvalidTrace, match="has 2 columns 'in'"):
        of_frame(pd.DataFrame([[0, 1, 2, 3]], columns=["at", "in", "in", "out"]), unit="s")
    with pytest.raises(InvalidTrace, match="expected a data frame with named columns, got list"):
        of_frame([(0, 1, 2)], unit="s")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(0.5, 512, 128)], r"row 0: arrival 0.5 is not a whole number of nanoseconds: give seconds to .*unit='s'"),
        ([(0, 1, 1), (1.0, 1, 1)], "row 1: arrival 1.0 is not a whole number of nanoseconds"),
        ([(0, 1, 1.5)], "row 0: output 1.5 is not a whole number of tokens"),
        (np.array([[0.5, 5, 5]]), "row 0: arrival 0.5 is not a whole number of nanoseconds"),
        ([(2**63, 1, 1)], "row 0: arrival 9223372036854775808 is not"),
        ([("0", 1, 1)], "row 0: arrival '?0'? is not"),
        ([(0, 5)], "expected rows of three whole numbers"),
        ([(0, 5, 5), (1, 5)], "expected rows of three whole numbers"),
        (pd.DataFrame(GOOD), "give it to Trace.from_dataframe"),
    ],
)
def test_rows_of_anything_but_whole_numbers_are_refused(rows, message):
    with pytest.raises(InvalidTrace, match=message):
        Trace.of_rows(rows, max_new_tokens=500)


@given(rows=ROWS)
def test_rows_may_be_integers_of_numpy(rows):
    expected = Trace.of_rows(sorted(rows), max_new_tokens=500)
    in_order = np.array(sorted(rows))
    for same in (in_order, in_order.astype(np.uint64), [tuple(map(np.int32, row)) for row in sorted(rows)]):
        made = Trace.of_rows(same, max_new_tokens=500)
        assert (made.content_hash, made.source) == (expected.content_hash, expected.source)


def test_a_trace_is_shown_in_one_short_line():
    shown = repr(Trace.of_rows([(0, 5, 5), (90 * 10**9, 1000, 9)], max_new_tokens=9, name="mine"))
    assert shown == "<Trace 'mine': 2 requests over 90 s, 1,005 prompt and 14 output tokens, max_new_tokens 9>"


def test_a_trace_is_a_small_table_in_a_notebook():
    shown = Trace.of_rows([(0, 5, 5), (90 * 10**9, 1000, 9)], max_new_tokens=9, name="<mine>")._repr_html_()
    assert shown.startswith("<table><caption>&lt;mine&gt;</caption>")
    assert "<th>arrivals over</th><td>90 s</td>" in shown
