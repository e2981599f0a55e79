"""The canonical trace file: a Trace as Parquet, whole, with where it came from and what was done to it.

    arrival_ns      int64, non-decreasing from 0 on
    prompt_tokens   int64, at least 1
    output_tokens   int64, 1 to max_new_tokens

What is not a row stands in the file's metadata under `warpgroup.trace`, as JSON: schema, name, max_new_tokens,
has_times, and the source with its counts of rows dropped and repaired, by reason.
"""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..errors import InvalidTrace, OutputRefused
from .trace import Trace, TraceSource

SCHEMA = 1
_KEY = b"warpgroup.trace"
_MAGIC = b"PAR1"
_COLUMNS = ("arrival_ns", "prompt_tokens", "output_tokens")


class _About(msgspec.Struct, frozen=True):
    """The metadata."""

    schema: int
    name: str
    max_new_tokens: int
    has_times: bool
    source: TraceSource


def write_trace(trace: Trace, path: Path) -> None:
    """Whole or not at all; the same trace gives the same bytes. Raises OutputRefused."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    about = _About(SCHEMA, trace.name, trace.max_new_tokens, trace.has_times, trace.source)
    table = pa.table({name: np.asarray(getattr(trace, name), dtype=np.int64) for name in _COLUMNS})
    table = table.replace_schema_metadata({_KEY: msgspec.json.encode(about, order="sorted")})
    part = path.with_name(path.name + ".part")
    try:
        pq.write_table(table, part, compression="zstd")
        part.replace(path)
    except OSError as error:
        raise OutputRefused(f"cannot write {path}: {error.strerror or error}; choose another place") from None


def is_canonical(path: Path) -> bool:
    """Whether it is such a file, of any schema. False for whatever cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                return False
        return _KEY in (pq.read_schema(path).metadata or {})
    except (OSError, ValueError, pa.ArrowException):  # of a damaged name pyarrow says that it cannot be decoded
        return False


def read_canonical(path: Path, *, max_new_tokens: int | None = None) -> Trace:
    """Read such a file. Outputs beyond another `max_new_tokens` are clipped to it, and counted.

    Raises InvalidTrace: it is damaged, of a newer schema, or holds what no trace may.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=list(_COLUMNS), use_threads=False)
        about = _about(path, table.schema.metadata[_KEY])
        columns = {name: _whole_numbers(path, table, name) for name in _COLUMNS}
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidTrace(f"{path} is a damaged trace file ({reason}): convert it again") from None
    _check(path, columns, about)
    return _limited(Trace(about.name, **columns, max_new_tokens=about.max_new_tokens, has_times=about.has_times,
                          source=about.source), max_new_tokens)  # fmt: skip


def _about(path: Path, encoded: bytes) -> _About:
    try:
        schema = msgspec.json.decode(encoded, type=dict[str, Any]).get("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            raise InvalidTrace(f"{path} has schema {schema}, this version reads up to {SCHEMA}: update warpgroup")
        return msgspec.json.decode(encoded, type=_About)
    except msgspec.MsgspecError as error:
        raise InvalidTrace(f"{path} is a damaged trace file ({error}): convert it again") from None


def _whole_numbers(path: Path, table: Any, name: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    column = table[name]
    if str(column.type) != "int64" or column.null_count:
        raise InvalidTrace(f"{path}: {name} is not a column of whole numbers: convert it again")
    return np.array(column.to_numpy(), dtype=np.int64)


def _check(path: Path, columns: dict[str, Any], about: _About) -> None:
    arrival, prompt, output = (columns[name] for name in _COLUMNS)
    if not len(arrival):
        raise InvalidTrace(f"{path} holds no request")
    wrong = (np.diff(arrival, prepend=0) < 0) | (prompt < 1) | (output < 1) | (output > about.max_new_tokens)
    if wrong.any():
        row = int(wrong.argmax())
        values = ", ".join(f"{name} {int(columns[name][row])}" for name in _COLUMNS)
        raise InvalidTrace(f"{path} row {row}: {values} is no request of a trace in order: convert it again")


def _limited(trace: Trace, max_new_tokens: int | None) -> Trace:
    if max_new_tokens is None or max_new_tokens == trace.max_new_tokens:
        return trace
    if max_new_tokens < 1:
        raise InvalidTrace(f"{trace.name}: max_new_tokens is {max_new_tokens}, expected at least 1")
    clipped = int((trace.output_tokens > max_new_tokens).sum())
    repaired = dict(trace.source.repaired)
    if clipped:
        reason = "output_clipped_to_max_new_tokens"
        repaired[reason] = repaired.get(reason, 0) + clipped
    return Trace(
        name=trace.name,
        arrival_ns=trace.arrival_ns,
        prompt_tokens=trace.prompt_tokens,
        output_tokens=np.minimum(trace.output_tokens, max_new_tokens),
        max_new_tokens=max_new_tokens,
        has_times=trace.has_times,
        source=msgspec.structs.replace(trace.source, repaired=repaired),
    )
