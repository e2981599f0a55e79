"""The canonical trace file: a Trace as Parquet, whole, with where it came from and what was done to it.

    arrival_ns      int64, non-decreasing from 0 on
    prompt_tokens   int64, at least 1
    output_tokens   int64, 1 to max_new_tokens

Where the source has conversations:

    session         int64, which one a request belongs to; -1: none
    after_id        int64, the row before it in its conversation, an earlier one; -1: none
    think_ns        int64, from the end of that request to the arrival of this; -1: it does not wait. One that waits has
                    the arrival_ns of the row that it waits for, before which it cannot come

Where it says which prompts begin alike:

    prefix_blocks   list of int64: the blocks of a prompt; equal numbers are equal blocks with all that is before them

What is not a row stands in the file's metadata under `warpgroup.trace`, as JSON: schema, name, max_new_tokens,
has_times, the tokens in a prefix block, and the source with its counts of rows dropped and repaired, by reason.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ...errors import InvalidTrace, OutputRefused
from ..trace.prefix_blocks import PrefixBlocks
from ..trace.trace import LONGEST_TOKENS, Column, Trace, TraceSource
from ..trace.turns import LONGEST_SPAN_S, TURN_COLUMNS, Turns

SCHEMA = 2
_KEY = b"warpgroup.trace"
_MAGIC = b"PAR1"
_COLUMNS = ("arrival_ns", "prompt_tokens", "output_tokens")
_PREFIX = "prefix_blocks"


class _About(msgspec.Struct, frozen=True):
    """The metadata."""

    schema: int
    name: str
    max_new_tokens: int
    has_times: bool
    source: TraceSource
    prefix_block_tokens: int = 0


def write_trace(trace: Trace, path: Path) -> None:
    """Whole or not at all; the same trace gives the same bytes. Raises OutputRefused."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    turns, prefix = trace.turns, trace.prefix
    about = _About(
        SCHEMA, trace.name, trace.max_new_tokens, trace.has_times, trace.source, prefix.block_tokens if prefix else 0
    )
    columns: dict[str, Any] = {name: np.asarray(getattr(trace, name), dtype=np.int64) for name in _COLUMNS}
    columns |= {name: np.asarray(getattr(turns, name), dtype=np.int64) for name in TURN_COLUMNS if turns}
    if prefix:
        offsets = np.concatenate([[0], prefix.ends])
        columns[_PREFIX] = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(prefix.ids))
    table = pa.table(columns)
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
        if not path.is_file():  # of a pipe, what is read here would be lost
            return False
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                return False
        return _KEY in (pq.read_schema(path).metadata or {})
    except (OSError, ValueError, pa.ArrowException):  # of a damaged name pyarrow says that it cannot be decoded
        return False


def read_canonical(path: Path, *, max_new_tokens: int | None = None, prefix: bool = True) -> Trace:
    """Read such a file, with or without the blocks of prompts. Outputs beyond another `max_new_tokens` are clipped to
    it, and counted.

    Raises InvalidTrace: it is damaged, of a newer schema, or holds what no trace may.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        there = pq.read_schema(path).names
        wanted = (*TURN_COLUMNS, _PREFIX) if prefix else TURN_COLUMNS
        known = [*_COLUMNS, *(name for name in wanted if name in there)]
        table = pq.read_table(path, columns=known, use_threads=False)
        about = _about(path, table.schema.metadata[_KEY])
        columns = {name: _whole_numbers(path, name, table[name]) for name in _COLUMNS}
        turns = _turns(path, table) if TURN_COLUMNS[0] in known else None
        blocks = _prefix(path, table, about) if _PREFIX in known else None
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidTrace(f"{path} is a damaged trace file ({reason}): convert it again") from None
    _check(path, columns, about)
    _check_turns(path, columns["arrival_ns"], turns)
    trace = Trace(
        about.name,
        **columns,
        max_new_tokens=about.max_new_tokens,
        has_times=about.has_times,
        source=about.source,
        turns=turns,
        prefix=blocks,
    )
    return _limited(trace, max_new_tokens)


def _about(path: Path, encoded: bytes) -> _About:
    try:
        schema = msgspec.json.decode(encoded, type=dict[str, Any]).get("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            raise InvalidTrace(f"{path} has schema {schema}, this version reads up to {SCHEMA}: update warpgroup")
        return msgspec.json.decode(encoded, type=_About)
    except msgspec.MsgspecError as error:
        raise InvalidTrace(f"{path} is a damaged trace file ({error}): convert it again") from None


def _turns(path: Path, table: Any) -> Turns:
    return Turns(*(_whole_numbers(path, name, table[name]) for name in TURN_COLUMNS))


def _prefix(path: Path, table: Any, about: _About) -> PrefixBlocks:
    lists = table[_PREFIX].combine_chunks()
    if not str(lists.type).startswith("large_list") or lists.null_count or about.prefix_block_tokens < 1:
        raise InvalidTrace(f"{path}: {_PREFIX} is not a column of lists: convert it again")
    offsets = np.asarray(lists.offsets.to_numpy(), dtype=np.int64)
    ids = _whole_numbers(path, _PREFIX, lists.flatten())
    found = PrefixBlocks(about.prefix_block_tokens, offsets[1:] - offsets[0], ids)
    if (found.counts < 0).any() or found.breaks.any():
        raise InvalidTrace(f"{path}: equal {_PREFIX} do not have the same before them: convert it again")
    return found


def _whole_numbers(path: Path, name: str, column: Any) -> Column:
    if str(column.type) != "int64" or column.null_count:
        raise InvalidTrace(f"{path}: {name} is not a column of whole numbers: convert it again")
    return np.array(column.to_numpy(), dtype=np.int64)


def _check(path: Path, columns: dict[str, Any], about: _About) -> None:
    arrival, prompt, output = (columns[name] for name in _COLUMNS)
    if not len(arrival):
        raise InvalidTrace(f"{path} holds no request")
    wrong = (np.diff(arrival, prepend=0) < 0) | (prompt < 1) | (output < 1) | (output > about.max_new_tokens)
    wrong |= (prompt > LONGEST_TOKENS) | (output > LONGEST_TOKENS)
    if wrong.any():
        row = int(wrong.argmax())
        values = ", ".join(f"{name} {int(columns[name][row])}" for name in _COLUMNS)
        raise InvalidTrace(f"{path} row {row}: {values} is no request of a trace in order: convert it again")
    source = about.source
    if not len(arrival) == source.kept == source.rows_read - sum(source.dropped.values()):
        raise InvalidTrace(
            f"{path} holds {len(arrival):,} requests, and says that {source.kept:,} of {source.rows_read:,} rows were "
            "kept: convert it again"
        )


def _check_turns(path: Path, arrival_ns: Column, turns: Turns | None) -> None:
    if turns is None:
        return
    row = turns.fault(arrival_ns)
    if row is not None:
        values = ", ".join(f"{name} {int(getattr(turns, name)[row])}" for name in TURN_COLUMNS)
        raise InvalidTrace(f"{path} row {row}: {values}: it does not wait for an earlier request: convert it again")
    if int(arrival_ns[-1]) / 1e9 + turns.pauses_s > LONGEST_SPAN_S:
        raise InvalidTrace(f"{path}: its requests take longer than {LONGEST_SPAN_S:g} s: convert it again")


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
    return replace(
        trace,
        output_tokens=np.minimum(trace.output_tokens, max_new_tokens),
        max_new_tokens=max_new_tokens,
        source=msgspec.structs.replace(trace.source, repaired=repaired),
    )
