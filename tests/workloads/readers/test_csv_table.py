"""CSV by two ways that must agree, whatever the size of the pieces that a file comes in."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.trace_dialects import DIALECTS

from warpgroup.workloads import read_trace
from warpgroup.workloads.readers.csv_table import CsvTable, _Parser
from warpgroup.workloads.readers.file import TraceFile
from warpgroup.workloads.readers.raw import to_ns
from warpgroup.workloads.readers.tables import Wanted, calendar_times

WANTED = Wanted(numbers=("n", "m"), times=("t",), labels=("s",))
HEADER = "t,n,s,m,other"

numbers = st.one_of(
    st.integers(-5, 10**6).map(str),
    st.floats().map(repr),
    st.sampled_from(
        ["", " 5", "5 ", "+5", ".5", "5.", "1e5", "1_0", "0x1f", "NaN", "NA", "null", "inf", "٣", "9" * 400]
    ),
)
times = st.one_of(
    st.datetimes().map(str),
    st.datetimes().map(lambda time: f"{time.isoformat()}Z"),
    st.sampled_from(
        ["", "XXX", "2023-11-16", "2023-11-16 18:15:46.6805900", "2024-05-12 00:00:00+05:30", "1700158546"]
    ),
)
labels = st.sampled_from(["", "a", " a ", "NaN", "é", "1"])
plain_rows = st.tuples(times, numbers, labels, numbers, labels).map(",".join)
odd_rows = st.one_of(
    st.sampled_from(
        ["", "  ", "1,2", "a,b,c,d,e,f", '"', "\r", "x\ry,1,2,3,4", '2023-11-16,1,"a, b",2,""', ',1,"a\nb",2,']
    ),
    st.text('ab1",\r ', max_size=12),
)
quick = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def cells_of(path: Path, text: str, piece_bytes: int = 1 << 20) -> list:
    """All cells of all rows, and what could not be read, in plain Python."""
    path.write_text(text, newline="")
    with TraceFile(path, piece_bytes=piece_bytes) as file:
        rows, unreadable = [], []
        for cells in CsvTable(file).cells(WANTED):
            time_ns, known = (column.tolist() for column in cells.times["t"])
            numbers = [[repr(number) for number in cells.numbers[name].tolist()] for name in WANTED.numbers]  # NaN too
            rows += zip(cells.row.tolist(), time_ns, known, *numbers, cells.labels["s"], strict=True)
            unreadable += cells.unreadable
    return [rows, unreadable]


@given(lines=st.lists(plain_rows, max_size=12), ending=st.sampled_from(["\n", "\r\n"]))
@quick
def test_a_block_at_once_and_row_by_row_are_the_same(tmp_path, monkeypatch_class, lines, ending):
    text = ending.join([HEADER, *lines]) + ending
    at_once = cells_of(tmp_path / "t", text)
    with monkeypatch_class(_Parser, "_at_once", lambda self, text: None):
        assert cells_of(tmp_path / "t", text) == at_once


@given(lines=st.lists(st.one_of(plain_rows, odd_rows), max_size=15), size=st.integers(1, 80))
@example(lines=["2024-01-01,1,a,2,b", '2024-01-01,1,"a', 'b",2,c', "2024-01-01,1,a,2,b"], size=5)
@quick
def test_it_does_not_matter_in_what_pieces_a_file_comes(tmp_path, lines, size):
    text = "\n".join([HEADER, *lines])
    assert cells_of(tmp_path / "t", text, piece_bytes=size) == cells_of(tmp_path / "t", text)


@given(lines=st.lists(st.one_of(plain_rows, odd_rows), max_size=15))
@quick
def test_every_line_that_is_not_blank_is_in_one_row(tmp_path, lines):
    text = "\n".join([HEADER, *lines])
    rows, unreadable = cells_of(tmp_path / "t", text)
    numbers = sorted([row[0] for row in rows] + [number for number, _ in unreadable])
    there = [number for number, line in enumerate(text.split("\n"), 1) if line and not line.isspace()][1:]
    assert len(numbers) == len(set(numbers))
    assert set(numbers) <= set(there)
    assert numbers == there or '"' in text


@pytest.fixture
def monkeypatch_class(monkeypatch):
    """A patch for the length of a `with`, since hypothesis runs a test many times."""
    from contextlib import contextmanager

    @contextmanager
    def patched(owner, name, value):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            yield

    return patched


@given(
    texts=st.lists(
        st.tuples(
            st.datetimes(pd.Timestamp("1680-01-01").to_pydatetime(), pd.Timestamp("2260-01-01").to_pydatetime()),
            st.sampled_from(["", "Z", "+00:00", "-05:30"]),
            st.sampled_from(["T", " "]),
        ),
        min_size=1,
        max_size=20,
    ).map(lambda drawn: [time.isoformat(sep) + zone for time, zone, sep in drawn])
)
@quick
def test_dates_are_those_that_pandas_reads(texts):
    ours, known = calendar_times(texts)
    theirs = pd.to_datetime(pd.Series(texts), format="ISO8601", utc=True)
    assert known.all()
    assert ours.tolist() == [time.value for time in theirs.dt.as_unit("ns")]


@given(ns=st.integers(0, 4 * 10**15), digits=st.integers(0, 9))
def test_decimal_seconds_are_the_nanoseconds_that_they_were_written_from(ns, digits):
    ns -= ns % 10 ** (9 - digits)
    text = f"{ns // 10**9}.{ns % 10**9:09d}"
    time_ns, known = to_ns(np.array([float(text)]), 10**9)
    assert known.all()
    assert abs(int(time_ns[0]) - ns) <= (0 if ns < 10**15 else 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, 9.1e9, -9.1e9])
def test_what_is_beyond_nanoseconds_is_no_time(value):
    time_ns, known = to_ns(np.array([value, 1.0]), 10**9)
    assert (known.tolist(), time_ns.tolist()) == ([False, True], [0, 10**9])


@pytest.mark.parametrize("unit_ns", [1, 10**3, 10**6])
def test_whole_numbers_of_a_unit_are_exact(unit_ns):
    whole = np.array([1_700_158_546_680, 1, 0, 2**53]) // unit_ns if unit_ns == 1 else np.array([1_700_158_546_681, 3])
    assert to_ns(whole.astype(float), unit_ns)[0].tolist() == [int(each) * unit_ns for each in whole]


@pytest.mark.parametrize("name", ["azure 2023", "azure 2024", "azure 2025", "burstgpt 3", "etalon", "vidur"])
def test_what_is_as_it_should_be_is_never_read_row_by_row(tmp_path, monkeypatch, name):
    """Or a long trace would take ten times as long, and nothing else would show it."""

    def refuse(*_, **__):
        raise AssertionError("read row by row")

    monkeypatch.setattr("warpgroup.workloads.readers.csv_table.records_of", refuse)
    path = tmp_path / "t.csv"
    path.write_bytes(DIALECTS[name].file([(1000 * n + n % 7, n, n) for n in range(1, 50)]))
    assert len(read_trace(path)) == 49
