"""Tables of anybody's: columns by the names that the user gives or that are known."""

import gzip
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from warpgroup.errors import InvalidTrace
from warpgroup.workloads import read_trace

NAMED = {"arrival": "when", "prompt": "in", "output": "out"}
TABLE = pd.DataFrame({"when": [0, 250, 900], "model": ["a", "b, c", 'd "e"'], "out": [5, 6, 7], "in": [10, 20, 30]})


def parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    return buffer.getvalue()


KINDS = {
    "csv": lambda table: table.to_csv(index=False).encode(),
    "csv.gz": lambda table: gzip.compress(table.to_csv(index=False).encode()),
    "jsonl": lambda table: table.to_json(orient="records", lines=True).encode(),
    "jsonl.zst": lambda table: pa.compress(table.to_json(orient="records", lines=True).encode(), "zstd", asbytes=True),
    "json": lambda table: table.to_json(orient="records").encode(),
    "parquet": parquet,
}


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "table"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("unit", "ns"), [("s", 10**9), ("ms", 10**6), ("us", 10**3)])
def test_named_columns_of_any_kind_of_file_in_any_unit(tmp_path, kind, unit, ns):
    trace = read_trace(written(tmp_path, KINDS[kind](TABLE)), columns=NAMED, time_unit=unit)
    assert trace.arrival_ns.tolist() == [0, 250 * ns, 900 * ns]
    assert (trace.prompt_tokens.tolist(), trace.output_tokens.tolist()) == ([10, 20, 30], [5, 6, 7])
    assert trace.source.format == "plain"


def test_nanoseconds_since_1970_are_right_to_the_microsecond(tmp_path):
    """Numbers of tables are floats, which lie 256 apart there."""
    start = 1_700_158_546_680_590_123
    table = TABLE.assign(when=[start, start + 3000, start + 10**9])
    trace = read_trace(written(tmp_path, parquet(table)), columns=NAMED, time_unit="ns")
    assert trace.arrival_ns.tolist() == pytest.approx([0, 3000, 10**9], abs=256)


@pytest.mark.parametrize("kind", KINDS)
def test_dates_are_known_by_their_look(tmp_path, kind):
    start = datetime(2024, 5, 12, tzinfo=UTC)
    dates = [start + timedelta(milliseconds=ms) for ms in TABLE["when"]]
    table = TABLE.assign(when=dates if kind == "parquet" else [str(date) for date in dates])
    trace = read_trace(written(tmp_path, KINDS[kind](table)), columns=NAMED)
    assert trace.arrival_ns.tolist() == [0, 250 * 10**6, 900 * 10**6]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_parquet_timestamps_of_any_precision(tmp_path, unit):
    times = pa.array([0, 10_000, 10_000, None]).cast(pa.timestamp(unit))
    table = pa.table({"when": times, "in": pa.array([1, 2, 3, 4], pa.int32()), "out": pa.array(["5", "6", "x", "7"])})
    buffer = io.BytesIO()
    pa.parquet.write_table(table, buffer)
    trace = read_trace(written(tmp_path, buffer.getvalue()), columns=NAMED)
    assert trace.arrival_ns.tolist() == [0, 10_000 * {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[unit]]
    assert trace.source.dropped == {"output_tokens_not_a_number": 1, "time_not_readable": 1}


def test_known_names_need_not_be_given(tmp_path):
    table = TABLE.rename(columns={"when": "arrival_time", "in": "num_prompt_tokens", "out": "completion_tokens"})
    trace = read_trace(written(tmp_path, KINDS["csv"](table)))
    assert (trace.source.format, trace.arrival_ns.tolist()) == ("plain", [0, 250 * 10**9, 900 * 10**9])


def test_without_arrivals_there_are_lengths(tmp_path):
    trace = read_trace(written(tmp_path, KINDS["csv"](TABLE)), columns={"prompt": "in", "output": "out"})
    assert (len(trace), trace.has_times) == (3, False)


def test_a_known_format_can_be_read_as_a_table(tmp_path):
    """Its names win over what the format would have made of them."""
    text = b"TIMESTAMP,ContextTokens,GeneratedTokens\n0,5,50\n3,6,60\n"
    columns = {"arrival": "TIMESTAMP", "prompt": "GeneratedTokens", "output": "ContextTokens"}
    trace = read_trace(written(tmp_path, text), columns=columns)
    assert (trace.prompt_tokens.tolist(), trace.arrival_ns.tolist()) == ([50, 60], [0, 3 * 10**9])


@given(
    prompts=st.lists(st.one_of(st.integers(-3, 10**6), st.none()), min_size=1, max_size=20).filter(
        lambda values: any(value is not None and value > 0 for value in values)
    )
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_all_kinds_of_files_tell_the_same_of_the_same_rows(tmp_path, prompts):
    table = pd.DataFrame({"when": range(len(prompts)), "in": pd.array(prompts, "Int64"), "out": 5})
    traces = [read_trace(written(tmp_path, write(table)), columns=NAMED) for write in KINDS.values()]
    assert len({trace.content_hash for trace in traces}) == 1
    assert all(trace.source.dropped == traces[0].source.dropped for trace in traces)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"columns": {"prompt": "in"}},
            "no column with a known name for output: name it, as in --columns output=NAME",
        ),
        ({"columns": {}}, "has no column with a known name for prompt and output"),
        ({"columns": {"prompt": "x"}}, "has no column 'x' for prompt: its columns are 'when', 'model', 'out', 'in'"),
        ({"columns": {"input": "in"}}, "--columns: 'input' is not one of arrival, prompt, output"),
        ({"columns": NAMED, "time_unit": "h"}, "the time unit is 'h', expected one of s, ms, us, ns"),
        ({"columns": {"prompt": "in", "output": "out"}, "time_unit": "ms"}, "has no known column of arrivals in ms"),
        ({"columns": {"prompt": "model", "output": "out"}}, "holds no usable row: prompt_tokens_not_a_number 3"),
    ],
)
def test_what_was_said_of_a_table_is_checked(tmp_path, options, message):
    with pytest.raises(InvalidTrace) as refused:
        read_trace(written(tmp_path, KINDS["csv"](TABLE)), **options)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_wide_tables_with_hostile_names_are_refused_in_one_short_line(tmp_path, kind):
    table = pd.DataFrame({f"column {n} \r\x1b[31m\u2028{'x' * 500}": [1] for n in range(200)})
    with pytest.raises(InvalidTrace) as refused:
        read_trace(written(tmp_path, KINDS[kind](table)), columns=NAMED)
    assert len(str(refused.value).splitlines()) == 1
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 3000


def test_a_parquet_file_of_something_else_is_refused(tmp_path):
    with pytest.raises(InvalidTrace, match=r"has no known trace format \(columns [^)]+\): name its columns"):
        read_trace(written(tmp_path, parquet(TABLE)))


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.struct([("a", pa.int64())]), pa.bool_(), pa.binary()])
def test_parquet_columns_that_are_no_numbers(tmp_path, kind):
    value = {"list": [1], "struct": {"a": 1}, "bool": True, "binary": b"1"}[str(kind).partition("<")[0]]
    buffer = io.BytesIO()
    pa.parquet.write_table(pa.table({"in": pa.array([value], kind), "out": [1]}), buffer)
    with pytest.raises(InvalidTrace, match="prompt_tokens_not_a_number 1"):
        read_trace(written(tmp_path, buffer.getvalue()), columns={"prompt": "in", "output": "out"})


def test_parquet_numbers_may_be_dictionaries_decimals_and_missing(tmp_path):
    prompts = pa.array(["7", "8", "7", None]).dictionary_encode()
    outputs = pa.array([1, 2, None, 4]).cast(pa.decimal128(21, 2))
    buffer = io.BytesIO()
    pa.parquet.write_table(pa.table({"in": prompts, "out": outputs}), buffer)
    trace = read_trace(written(tmp_path, buffer.getvalue()), columns={"prompt": "in", "output": "out"})
    assert np.stack([trace.prompt_tokens, trace.output_tokens]).tolist() == [[7, 8], [1, 2]]
    assert trace.source.dropped == {"prompt_tokens_not_a_number": 1, "output_tokens_not_a_number": 1}
