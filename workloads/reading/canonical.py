"""The canonical trace file: a whole Trace as Parquet, with its source and transforms.

    arrival_ns      int64, non-decreasing from 0 on
    prompt_tokens   int64, at least 1
    output_tokens   int64, 1 to max_new_tokens

Where the source has conversations:

    session         int64, the conversation of a request; -1: none
    after_id        int64, the earlier row that it follows in its conversation; -1: none
    think_ns        int64, from the end of that request to the arrival of this one; -1: it does not wait. A request that
                    waits has the arrival_ns of the row that it waits for, since it cannot arrive earlier

Where the source says which prompts share their beginnings:

    prefix_blocks   list of int64: the blocks of a prompt; two ids are equal if the blocks and all before them are equal

The rest is JSON in the file's metadata under `warpgroup.trace`: schema, name, max_new_tokens, has_times, the tokens in
a prefix block, and the source with its counts of rows dropped and repaired, by reason.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ...errors import InvalidTrace, OutputRefused, quoted
from ..quantities import LONGEST_SPAN_S, LONGEST_TOKENS, NS
from ..trace import TURN_COLUMNS, Column, PrefixBlocks, Trace, TraceSource, Turns
from ..trace.trace import OUTPUT_CLIPPED

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
    """Write the file, whole or not at all; the same trace gives the same bytes. Raises OutputRefused."""
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
    """Whether the file is a canonical trace of any schema; False if it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if not path.is_file():  # reading from a pipe here would lose its content
            return False
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                return False
        return _KEY in (pq.read_schema(path).metadata or {})
    except (OSError, ValueError, pa.ArrowException):  # pyarrow raises UnicodeDecodeError for a damaged column name
        return False


def read_canonical(path: Path, *, max_new_tokens: int | None = None, prefix: bool = True) -> Trace:
    """Read a canonical trace, with or without the blocks of prompts.

    Args:
        max_new_tokens: in place of the file's; longer outputs are clipped to it and counted.

    Raises:
        InvalidTrace: the file is damaged, has a newer schema, or holds values that no trace may have.
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
        raise InvalidTrace(f"{path} is a damaged trace file ({quoted(str(error))}): convert it again") from None
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
            raise InvalidTrace(f"{path} has schema {schema}, but this version reads up to {SCHEMA}: update warpgroup")
        return msgspec.json.decode(encoded, type=_About)
    except msgspec.MsgspecError as error:
        raise InvalidTrace(f"{path} is a damaged trace file ({quoted(str(error))}): convert it again") from None


def _turns(path: Path, table: Any) -> Turns:
    return Turns(*(_whole_numbers(path, name, table[name]) for name in TURN_COLUMNS))


def _prefix(path: Path, table: Any, about: _About) -> PrefixBlocks:
    lists = table[_PREFIX].combine_chunks()
    if not str(lists.type).startswith("large_list") or lists.null_count or about.prefix_block_tokens < 1:
        raise InvalidTrace(f"{path}: {_PREFIX} is not a column of block lists: convert it again")
    offsets = np.asarray(lists.offsets.to_numpy(), dtype=np.int64)
    ids = _whole_numbers(path, _PREFIX, lists.flatten())
    found = PrefixBlocks(about.prefix_block_tokens, offsets[1:] - offsets[0], ids)
    if (found.counts < 0).any() or found.breaks.any():
        raise InvalidTrace(f"{path}: equal {_PREFIX} follow different blocks: convert it again")
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
        raise InvalidTrace(f"{path} row {row}: {values} is no valid request in order of arrival: convert it again")
    source = about.source
    if not len(arrival) == source.kept == source.rows_read - sum(source.dropped.values()):
        raise InvalidTrace(
            f"{path} holds {len(arrival):,} requests, but says that {source.kept:,} of {source.rows_read:,} rows were "
            "kept: convert it again"
        )


def _check_turns(path: Path, arrival_ns: Column, turns: Turns | None) -> None:
    if turns is None:
        return
    row = turns.fault(arrival_ns)
    if row is not None:
        values = ", ".join(f"{name} {int(getattr(turns, name)[row])}" for name in TURN_COLUMNS)
        raise InvalidTrace(f"{path} row {row}: {values} is not a valid turn of a conversation: convert it again")
    if int(arrival_ns[-1]) / NS + turns.pauses_s > LONGEST_SPAN_S:
        raise InvalidTrace(f"{path} spans more than {LONGEST_SPAN_S:g} s: convert it again")


def _limited(trace: Trace, max_new_tokens: int | None) -> Trace:
    if max_new_tokens is None or max_new_tokens == trace.max_new_tokens:
        return trace
    if max_new_tokens < 1:
        raise InvalidTrace(f"{trace.name}: max_new_tokens is {max_new_tokens}, expected at least 1")
    clipped = int((trace.output_tokens > max_new_tokens).sum())
    repaired = dict(trace.source.repaired)
    if clipped:
        repaired[OUTPUT_CLIPPED] = repaired.get(OUTPUT_CLIPPED, 0) + clipped
    return replace(
        trace,
        output_tokens=np.minimum(trace.output_tokens, max_new_tokens),
        max_new_tokens=max_new_tokens,
        source=msgspec.structs.replace(trace.source, repaired=repaired),
    )
