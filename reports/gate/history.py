"""The history of the gate: a Parquet file with one row for each check, in the order in which the gates ran."""

import json
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ...errors import InvalidScenario, OutputRefused
from .result import SCHEMA, Check, GateResult

if TYPE_CHECKING:
    import pyarrow as pa

_MARK = b"warpgroup.gate.history"
_CHECK = tuple(field for field in Check.__struct_fields__ if field not in ("base", "head", "interval", "failed_sides"))
"""The columns that are stored as they are. Which side failed is not kept: `detail` says it."""


def append_result(path: Path, result: GateResult) -> None:
    """Append a result; creates the file if it is missing. A reader never sees half a file.

    Only one process may append at a time: if two do, one result may be lost.

    Raises:
        InvalidScenario: the file is damaged or not a history; it is left as it is.
        OutputRefused: it cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    past = _read(path)
    gate = 1 + max(past["gate"].to_pylist(), default=0) if past is not None else 0
    added = pa.Table.from_pylist(_rows(gate, result), schema=_schema())
    table = added if past is None else pa.concat_tables([past, added])
    part = path.with_name(path.name + ".part")
    try:
        pq.write_table(table, part, compression="zstd", write_page_checksum=True)
        part.replace(path)
    except OSError as error:
        raise OutputRefused(f"cannot write {path}: {error.strerror or error}; choose another --history") from None


def read_history(path: Path) -> list[GateResult]:
    """The results, the oldest first; empty if there is no such file. Raises InvalidScenario: not a history."""
    table = _read(path)
    if table is None:
        return []
    try:
        gates = groupby(table.to_pylist(), key=lambda row: row["gate"])
        return [_result(list(rows)) for _, rows in gates]
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        raise _refusal(path, error) from None


def machine_key(machine: Mapping[str, str]) -> str:
    """The facts of a machine as one text, equal only for equal machines."""
    return json.dumps(machine, sort_keys=True)


def _read(path: Path) -> "pa.Table | None":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, page_checksum_verification=True, partitioning=None)
    except FileNotFoundError:
        return None
    except (OSError, pa.ArrowException, ValueError) as error:
        raise _refusal(path, error) from None
    version = (table.schema.metadata or {}).get(_MARK, b"")
    if version and version != str(SCHEMA).encode():
        raise _refusal(path, "another version of warpgroup wrote it")
    if not version or not table.schema.equals(_schema()):
        raise _refusal(path, "it has other columns")
    return table


def _refusal(path: Path, why: object) -> InvalidScenario:
    reason = (str(why).splitlines() or ["unreadable"])[0]
    return InvalidScenario(f"{path} is not a history of the gate, or is damaged ({reason}): choose another --history")


def _schema() -> "pa.Schema":
    import pyarrow as pa

    whole = {"gate": pa.int64(), "date": pa.string(), "machine": pa.string(), "head": pa.string(), "base": pa.string()}
    check = dict.fromkeys(("kind", "name", "metric", "outcome", "base_value", "head_value", "detail"), pa.string())
    numbers = dict.fromkeys(("change", "low", "high", "threshold", "seconds"), pa.float64())
    rest = {"command": pa.string(), "notes": pa.list_(pa.string())}
    return pa.schema(list((whole | check | numbers | rest).items()), metadata={_MARK: str(SCHEMA).encode()})


def _rows(gate: int, result: GateResult) -> list[dict[str, Any]]:
    whole = {
        "gate": gate,
        "machine": machine_key(result.machine),
        **{name: getattr(result, name) for name in ("date", "head", "base", "command", "seconds", "notes")},
    }
    # A result without checks is one row without a check.
    return [whole | _columns(check) for check in result.checks] or [whole]


def _columns(check: Check) -> dict[str, Any]:
    low, high = check.interval or (None, None)
    return {
        **{name: getattr(check, name) for name in _CHECK},
        # As JSON, so that one column holds integers of any size, floats and texts without loss.
        "base_value": json.dumps(check.base),
        "head_value": json.dumps(check.head),
        "low": low,
        "high": high,
    }


def _result(rows: list[dict[str, Any]]) -> GateResult:
    first = rows[0]
    whole = {name: first[name] for name in ("date", "head", "base", "command", "seconds", "notes")}
    checks = [_check(row) for row in rows if row["kind"] is not None]
    return msgspec.convert(whole | {"machine": json.loads(first["machine"]), "checks": checks}, GateResult)


def _check(row: dict[str, Any]) -> dict[str, Any]:
    interval = None if row["low"] is None else (row["low"], row["high"])
    values = {"base": json.loads(row["base_value"]), "head": json.loads(row["head_value"])}
    return {name: row[name] for name in _CHECK} | values | {"interval": interval}
