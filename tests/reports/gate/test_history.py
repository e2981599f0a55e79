"""The history of the gate: reading returns what was appended; other files are refused and kept."""

import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.gate_results import exact, gate, results

from warpgroup.errors import InvalidScenario, OutputRefused
from warpgroup.reports.gate.history import append_result, machine_key, read_history
from warpgroup.reports.gate.result import Outcome


@given(st.lists(results, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_reading_returns_what_was_appended(tmp_path_factory, appended):
    path = tmp_path_factory.mktemp("history") / "gate.parquet"
    for result in appended:
        append_result(path, result)
    assert read_history(path) == appended
    assert [each.name for each in path.parent.iterdir()] == ["gate.parquet"]


def test_it_is_a_table_with_a_row_a_check(tmp_path):
    path = tmp_path / "gate.parquet"
    append_result(path, gate(exact(Outcome.PASSED, "a"), exact(Outcome.CHANGED, "b", head=6, change=0.2)))
    append_result(path, gate(exact(Outcome.PASSED, "a"), head="abc"))
    table = pq.read_table(path).to_pandas()
    assert table["gate"].tolist() == [0, 0, 1]
    assert table["name"].tolist() == ["a", "b", "a"]
    assert table["head_value"].tolist() == ["5", "6", "5"]
    assert table["outcome"].tolist() == ["passed", "changed", "passed"]


def test_no_file_is_no_history(tmp_path):
    assert read_history(tmp_path / "none.parquet") == []


def test_the_key_of_a_machine_does_not_depend_on_the_order_of_its_facts():
    assert machine_key({"a": "1", "b": "2"}) == machine_key({"b": "2", "a": "1"}) != machine_key({"a": "1"})


@given(st.integers(0, 10**6), st.integers(1, 255))
@settings(max_examples=100, deadline=None)
def test_a_damaged_file_is_refused_in_one_line_and_kept(tmp_path_factory, where, flipped):
    path = tmp_path_factory.mktemp("history") / "gate.parquet"
    whole = [gate(exact(Outcome.PASSED, "a" * 50)), gate(exact(Outcome.CHANGED), notes=["x"])]
    for result in whole:
        append_result(path, result)
    damaged = bytearray(path.read_bytes())
    damaged[where % len(damaged)] ^= flipped
    path.write_bytes(damaged)
    refusal = None
    try:
        append_result(path, whole[0])
    except InvalidScenario as error:
        refusal = str(error)
    if refusal is None:
        assert len(read_history(path)) == 3  # no reader uses that byte
    else:
        assert "\n" not in refusal
        assert path.read_bytes() == damaged


@pytest.mark.parametrize("garbage", [b"", b"PAR1", b"not a history at all", b"PAR1" + bytes(100) + b"PAR1"])
def test_garbage_is_refused_and_kept(tmp_path, garbage):
    path = tmp_path / "gate.parquet"
    path.write_bytes(garbage)
    with pytest.raises(InvalidScenario, match="not a history of the gate, or is damaged"):
        append_result(path, gate(exact(Outcome.PASSED)))
    assert path.read_bytes() == garbage


def test_another_table_another_version_and_a_folder_are_refused(tmp_path):
    other_table = tmp_path / "other_table.parquet"
    pq.write_table(pa.table({"x": [1]}), other_table)
    before = other_table.read_bytes()
    with pytest.raises(InvalidScenario, match="other columns"):
        append_result(other_table, gate(exact(Outcome.PASSED)))
    assert other_table.read_bytes() == before
    with pytest.raises(InvalidScenario):
        read_history(tmp_path)


def test_a_newer_version_is_refused(tmp_path):
    path = tmp_path / "gate.parquet"
    append_result(path, gate(exact(Outcome.PASSED)))
    pq.write_table(pq.read_table(path).replace_schema_metadata({b"warpgroup.gate.history": b"99"}), path)
    with pytest.raises(InvalidScenario, match="another version"):
        read_history(path)


def test_an_unknown_outcome_is_refused(tmp_path):
    path = tmp_path / "gate.parquet"
    append_result(path, gate(exact(Outcome.PASSED)))
    table = pq.read_table(path)
    position = table.schema.get_field_index("outcome")
    pq.write_table(table.set_column(position, table.schema.field("outcome"), pa.array(["splendid"])), path)
    with pytest.raises(InvalidScenario, match="splendid"):
        read_history(path)


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(OutputRefused, match="cannot write"):
        append_result(tmp_path / "missing" / "gate.parquet", gate(exact(Outcome.PASSED)))


def test_nan_is_kept(tmp_path):
    path = tmp_path / "gate.parquet"
    append_result(path, gate(exact(Outcome.BROKEN, head=float("nan"), change=float("nan"))))
    check = read_history(path)[0].checks[0]
    assert math.isnan(check.head)
    assert math.isnan(check.change)
