"""From a file to a trace: recognises the format by content, reads and cleans some rows at a time, and sorts them."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ...errors import InvalidTrace, quoted
from ..readers import READERS, Reader, plain_reader
from ..readers.file import UNPACKED_LIMIT_BYTES, TraceFile
from ..readers.named_columns import open_table
from ..trace import Column, PrefixBlocks, Trace, TraceSource, Turns, slice_time
from ..trace.turns import ABSENT
from .canonical import is_canonical, read_canonical
from .cleaning import Cleaning, Finding, Requests, Rules, ZeroOutputs
from .servegen import DEFAULT_MAX_NEW_TOKENS, draw_clients
from .servegen_files import holds_clients

MOST_REQUESTS = 1 << 26
"""The most requests that fit in memory, at 24 bytes each; a longer file can only be scanned."""
MOST_BLOCKS = 1 << 27
"""The most prefix blocks that fit in memory, at 8 bytes each."""


class TraceScan:
    """A trace file that is read once, from front to end, with only some rows in memory.

    Iterating gives requests in the order of the file, with the times of the file; afterwards `source` says what became
    of every row.

    Attributes:
        max_new_tokens: the most that any request may generate; longer outputs are clipped to it.
    """

    def __init__(self, file: TraceFile, reader: Reader, rules: Rules, *, prefix: bool = False) -> None:
        self._file, self._reader = file, reader
        self._read = reader.read_prefix if prefix and reader.read_prefix is not None else reader.read
        self._cleaning = Cleaning(file.path, rules)
        self.max_new_tokens = rules.max_new_tokens

    def __iter__(self) -> Iterator[Requests]:
        """Raises InvalidTrace: the file is damaged, has no usable row, or has times in another unit."""
        for raw in self._read(self._file):
            yield self._cleaning.clean(raw)
        self._cleaning.finish()

    @property
    def has_times(self) -> bool:
        """Whether the part that was read so far has arrival times."""
        return self._cleaning.has_times

    @property
    def went_back(self) -> bool:
        """Whether any row so far was earlier than the one before it."""
        return "time_went_back_sorted" in self._cleaning.repaired

    @property
    def blocks_fit(self) -> bool:
        """Whether most prompts so far have as many blocks as they need."""
        return self._cleaning.blocks_fit

    def repaired_later(self, finding: Finding) -> None:
        """Count a repair that only all rows together show. Raises InvalidTrace if reading is strict."""
        self._cleaning.note([], [finding])

    @property
    def source(self) -> TraceSource:
        """Where the requests came from, and what became of each row so far."""
        counts = self._cleaning
        return TraceSource(
            path=self._file.path.name,
            sha256=self._file.sha256(),
            format=self._reader.name,
            rows_read=counts.rows_read,
            kept=counts.kept,
            dropped=dict(counts.dropped),
            repaired=dict(counts.repaired),
            examples=dict(counts.examples),
        )


@contextmanager
def scan_trace(
    path: Path,
    *,
    max_new_tokens: int | None = None,
    columns: Mapping[str, str] | None = None,
    time_unit: str | None = None,
    zero_outputs: ZeroOutputs = "drop",
    strict: bool = False,
    prefix: bool = False,
    unpacked_limit_bytes: int = UNPACKED_LIMIT_BYTES,
) -> Iterator[TraceScan]:
    """Open a trace file of any length, to read it some rows at a time; arguments as in `read_trace`."""
    with TraceFile(path, unpacked_limit_bytes=unpacked_limit_bytes) as file:
        is_told = columns is not None or time_unit is not None
        reader = plain_reader(columns, time_unit) if is_told else _recognised(file)
        limit = max_new_tokens if max_new_tokens is not None else reader.max_new_tokens
        yield TraceScan(file, reader, _rules(path, limit, zero_outputs, strict), prefix=prefix)


def read_trace(
    path: Path,
    *,
    max_new_tokens: int | None = None,
    columns: Mapping[str, str] | None = None,
    time_unit: str | None = None,
    zero_outputs: ZeroOutputs = "drop",
    strict: bool = False,
    prefix: bool = False,
    unpacked_limit_bytes: int = UNPACKED_LIMIT_BYTES,
    seed: int = 0,
    start_s: float | None = None,
    end_s: float | None = None,
) -> Trace:
    """Read a trace from a file, or draw one from ServeGen's clients in a folder or a tar, as `draw_clients` does.

    A file may be plain, gzip or zstd, in any format of `readers` or canonical.

    Times are shifted so that the first request arrives at 0. Rows are sorted by time; rows of equal time keep the order
    of the file. Rows that cannot be used are dropped under a named reason and counted in the source.

    Args:
        path: the file; its content tells the format, not its name.
        max_new_tokens: longer outputs are clipped to it, as a server would; default: that of the format.
        columns: read the file as a table, with these column names for `arrival`, `prompt` and `output`.
        time_unit: read the file as a table, with arrivals in `s`, `ms`, `us` or `ns`; default: seconds, or dates.
        zero_outputs: `drop` requests without output, or keep them as `prefill-only`, with an output of 1 token.
        strict: refuse the file at the first row that would be dropped or changed.
        prefix: read the blocks of prompts too, where the format has them. No run uses them, and they can take many
            times the memory of the rest. A row with unreadable blocks, or with a wrong number of them, is kept without
            blocks. If most rows are like that, the file has another block size than its format, and all blocks are
            ignored.
        unpacked_limit_bytes: the largest size that a compressed file may unpack to.
        seed: of the draw from clients; it changes nothing for a file.
        start_s: leave out earlier requests, in seconds from the first request, or from the clients' first window.
        end_s: leave out requests from this time on; default: none, or for clients those an hour after the start.

    Raises:
        InvalidTrace: the file is missing, damaged, of an unknown format, too large or without a usable row.
    """
    is_told = columns is not None or time_unit is not None
    if not is_told and holds_clients(path):
        limit = max_new_tokens if max_new_tokens is not None else DEFAULT_MAX_NEW_TOKENS
        rules = _rules(path, limit, zero_outputs, strict)
        limit_bytes = unpacked_limit_bytes
        return draw_clients(path, rules, seed=seed, start_s=start_s, end_s=end_s, unpacked_limit_bytes=limit_bytes)
    if not is_told and is_canonical(path):
        trace = read_canonical(path, max_new_tokens=max_new_tokens, prefix=prefix)
        if strict and trace.source.examples:
            reason, example = next(iter(trace.source.examples.items()))
            raise InvalidTrace(
                f"{path} was converted from a file with a bad row, {example} ({reason}): strict reading refuses it"
            )
        return _between(trace, start_s, end_s)
    with scan_trace(
        path,
        max_new_tokens=max_new_tokens,
        columns=columns,
        time_unit=time_unit,
        zero_outputs=zero_outputs,
        strict=strict,
        prefix=prefix,
        unpacked_limit_bytes=unpacked_limit_bytes,
    ) as scan:
        return _between(_gathered(path, scan), start_s, end_s)


def _rules(path: Path, max_new_tokens: int, zero_outputs: ZeroOutputs, strict: bool) -> Rules:
    if max_new_tokens < 1:
        raise InvalidTrace(f"{path}: max_new_tokens is {max_new_tokens}, expected at least 1")
    return Rules(max_new_tokens, zero_outputs, strict)


def _between(trace: Trace, start_s: float | None, end_s: float | None) -> Trace:
    if start_s is None and end_s is None:
        return trace
    return slice_time(trace, start_s or 0.0, math.inf if end_s is None else end_s)


def _gathered(path: Path, scan: TraceScan) -> Trace:
    times, prompts, outputs = columns = (_GrowingColumn(), _GrowingColumn(), _GrowingColumn())
    conversations, blocks = _Conversations(), _Blocks()
    for requests in scan:
        times.extend(requests.time_ns)
        prompts.extend(requests.prompt_tokens)
        outputs.extend(requests.output_tokens)
        conversations.extend(requests)
        blocks.extend(requests)
        if len(times) > MOST_REQUESTS:
            raise InvalidTrace(f"{path} has more than {MOST_REQUESTS:,} requests: cut it into several files")
        if len(blocks) > MOST_BLOCKS:
            raise InvalidTrace(f"{path} has more than {MOST_BLOCKS:,} prefix blocks: cut it into several files")
    turns, prefix = conversations.turns(), blocks.prefix(scan)
    if scan.went_back or (turns is not None and turns.waits.any()):
        order = np.argsort(times.values, kind="stable")
        for column in columns:
            column.reorder(order)
        turns = turns and turns.at(order)
        prefix = prefix and prefix.at(order)
    arrival_ns = times.values
    arrival_ns -= arrival_ns[0]
    return Trace(
        name=path.name.split(".")[0],
        arrival_ns=arrival_ns,
        prompt_tokens=prompts.values,
        output_tokens=outputs.values,
        max_new_tokens=scan.max_new_tokens,
        has_times=scan.has_times,
        source=scan.source,
        turns=turns,
        prefix=prefix,
    )


class _Conversations:
    """Collects the turns of a file by row number."""

    def __init__(self) -> None:
        self._row, self._session, self._after_row, self._think_ns = (_GrowingColumn() for _ in range(4))

    def extend(self, requests: Requests) -> None:
        """Add some requests; they add nothing where the file has no conversations."""
        if requests.turns is None:
            return
        self._row.extend(requests.row)
        self._session.extend(requests.turns.session)
        self._after_row.extend(requests.turns.after_row)
        self._think_ns.extend(requests.turns.think_ns)

    def turns(self) -> Turns | None:
        """The turns by position in the file; None if no row belongs to a conversation."""
        session, before = self._session.values, self._after_row.values
        if not (session >= 0).any():
            return None
        after_id = np.where(before > 0, np.searchsorted(self._row.values, before), ABSENT)
        return Turns(session, after_id, self._think_ns.values)


class _Blocks:
    """Collects the blocks of prompts."""

    def __init__(self) -> None:
        self._row, self._counts, self._ids = (_GrowingColumn() for _ in range(3))
        self._block_tokens = 0

    def __len__(self) -> int:
        return len(self._ids)

    def extend(self, requests: Requests) -> None:
        """Add some requests; they add nothing where the file has no blocks."""
        if requests.blocks is None:
            return
        self._block_tokens = requests.blocks.block_tokens
        self._row.extend(requests.row)
        self._counts.extend(requests.blocks.counts)
        self._ids.extend(requests.blocks.ids)

    def prefix(self, scan: TraceScan) -> PrefixBlocks | None:
        """The blocks by position in the file; None if there are none, or if their size or their order is wrong."""
        if not len(self) or not scan.blocks_fit:
            return None
        found = PrefixBlocks.of_lists(self._block_tokens, self._counts.values, self._ids.values)
        breaks = np.flatnonzero(found.breaks)
        if len(breaks):
            rows = self._row.values[np.unique(np.searchsorted(found.ends, breaks, side="right"))]
            what = f"row {rows[0]}: block {found.ids[breaks[0]]} follows another block than it did earlier"
            scan.repaired_later(Finding("prefix_blocks_do_not_say_what_is_before", len(rows), int(rows[0]), what))
            return None
        return found


class _GrowingColumn:
    """A column of unknown length. Its capacity doubles when needed; only the filled part takes memory."""

    def __init__(self) -> None:
        self._buffer = np.empty(1 << 16, dtype=np.int64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def values(self) -> Column:
        return self._buffer[: self._count]

    def reorder(self, order: Column) -> None:
        self._buffer = self.values[order]

    def extend(self, values: Column) -> None:
        needed = self._count + len(values)
        if needed > len(self._buffer):
            buffer = np.empty(max(needed, 2 * len(self._buffer)), dtype=np.int64)
            buffer[: self._count] = self.values
            self._buffer = buffer
        self._buffer[self._count : needed] = values
        self._count = needed


def _recognised(file: TraceFile) -> Reader:
    for reader in READERS:
        if reader.recognises(file):
            return reader
    if file.is_parquet:
        found = f"columns {quoted(', '.join(open_table(file).names))}"
    else:
        found = f"row 1: {quoted(file.first_line)}"
    raise InvalidTrace(
        f"{file.path} has no known trace format ({found}): name its columns (warpgroup trace convert FILE -o "
        "FILE.parquet --columns arrival=NAME,prompt=NAME,output=NAME), or see `warpgroup trace inspect --help`"
    )
