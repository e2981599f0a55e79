"""Tables as Parquet."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InvalidTrace, quoted
from ..quantities import TIME_UNITS
from .file import TraceFile
from .raw import Flags, Floats, Integers
from .tables import Cells, Wanted, calendar_times, number_of, refuse_twice

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_AT_ONCE = 1 << 16


class ParquetTable:
    """A Parquet file; nested columns are ignored."""

    def __init__(self, file: TraceFile) -> None:
        import pyarrow as pa
        from pyarrow import parquet as pq

        self._file = file
        try:
            self._parquet = pq.ParquetFile(file.path, memory_map=False)
            self._schema = self._parquet.schema_arrow
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _damaged(file, error) from None
        self.names = list(self._schema.names)

    def is_calendar_time(self, name: str) -> bool:
        """Whether the column has timestamps or text."""
        import pyarrow as pa

        kind = self._schema.field(self.names.index(name)).type
        return bool(pa.types.is_timestamp(kind) or _is_text(kind))

    def cells(self, wanted: Wanted) -> Iterator[Cells]:
        """The rows, some thousands at a time; they can be read once. Row numbers count from 1 through the file."""
        import pyarrow as pa

        refuse_twice(self._file.path, self.names, wanted)
        row = 1
        names = list(dict.fromkeys((*wanted.numbers, *wanted.times, *wanted.labels)))
        try:
            for batch in self._parquet.iter_batches(_ROWS_AT_ONCE, columns=names, use_threads=False):
                yield _cells(row, batch, wanted)
                row += batch.num_rows
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _damaged(self._file, error) from None


def _damaged(file: TraceFile, error: BaseException) -> InvalidTrace:
    return InvalidTrace(f"{file.path} is a damaged Parquet file ({quoted(str(error))}): fetch it again")


def _cells(row: int, batch: "pa.RecordBatch", wanted: Wanted) -> Cells:
    def column(name: str) -> Any:
        return _plain(batch.column(batch.schema.names.index(name)))

    return Cells(
        row=np.arange(row, row + batch.num_rows),
        numbers={name: _numbers(column(name)) for name in wanted.numbers},
        times={name: _times(column(name)) for name in wanted.times},
        labels={
            name: [None if each is None else str(each) for each in column(name).to_pylist()] for name in wanted.labels
        },
        unreadable=[],
    )


def _plain(column: "pa.Array") -> Any:
    import pyarrow as pa

    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _numbers(column: "pa.Array") -> Floats:
    import pyarrow as pa

    if _is_text(column.type):
        return np.array([np.nan if each is None else number_of(each) for each in column.to_pylist()], dtype=np.float64)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.full(len(column), np.nan)


def _times(column: "pa.Array") -> tuple[Integers, Flags]:
    import pyarrow as pa

    if _is_text(column.type):
        return calendar_times([each or "" for each in column.to_pylist()])
    if not pa.types.is_timestamp(column.type):
        return np.zeros(len(column), dtype=np.int64), np.zeros(len(column), dtype=bool)
    unit_ns = TIME_UNITS[column.type.unit]
    times = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    known = column.is_valid().to_numpy(zero_copy_only=False) & (np.abs(times.astype(np.float64)) < 9e18 / unit_ns)
    return np.where(known, times, 0) * unit_ns, known
