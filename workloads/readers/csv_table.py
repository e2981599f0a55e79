"""Tables as CSV: columns by name, whatever their position.

A plain block of lines is parsed at once, any other block row by row. Both ways give the same result.
"""

from collections.abc import Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InvalidTrace
from .csv_records import Records, fields_of, records_of
from .file import Block, TraceFile
from .tables import Cells, Wanted, calendar_times, number_of, refuse_twice

if TYPE_CHECKING:
    import pyarrow as pa

_LONGEST_HEADER_BYTES = 1 << 20
_NOT_NUMBERS = ["", "NaN", "nan", "NA", "N/A", "null", "NULL", "None"]


class CsvTable:
    """A CSV file. Blank lines are skipped; a row with another number of fields than the header is unreadable.

    A field in quotes may hold commas and line breaks; the number of a row is that of its first line.
    """

    def __init__(self, file: TraceFile) -> None:
        self._file = file
        self.names = header_of(file)
        if not self.names:
            raise InvalidTrace(
                f"{file.path} row 1: the header is longer than {_LONGEST_HEADER_BYTES >> 20} MiB, expected column names"
            )

    def is_calendar_time(self, name: str) -> bool:
        """Whether the first row has a date, not a number, in that column."""
        first = first_row_of(self._file).get(name, "").strip()
        return bool(first) and np.isnan(number_of(first)) and bool(calendar_times([first])[1][0])

    def cells(self, wanted: Wanted) -> Iterator[Cells]:
        """The rows, a block of lines at a time. They can be read once."""
        refuse_twice(self._file.path, self.names, wanted)
        parse = _Parser(self.names, wanted)
        rest = Block(0, b"")
        for block in chain([_below_the_header(self._file.head)], islice(self._file.blocks(), 1, None)):
            cells, rest = parse(Block(rest.row, rest.text + block.text) if rest.text else block, is_last=False)
            yield cells
        if rest.text:
            yield parse(rest, is_last=True)[0]


def header_of(file: TraceFile) -> list[str]:
    """The column names in the first row that is not blank; empty where it is too long to be a header."""
    if len(file.first_line) > _LONGEST_HEADER_BYTES:
        return []
    first = file.first_line.decode()
    return [name.strip().strip('"') for name in fields_of(first) or first.split(",")]


def first_row_of(file: TraceFile) -> dict[str, str]:
    """The fields of the first row below the header, by name; empty where that row is missing or incomplete."""
    names = header_of(file)
    below = _below_the_header(file.head).text.lstrip().split(b"\n", 1)[0]
    fields = fields_of(below.decode()) or []
    if len(fields) != len(names):
        return {}
    return {name: fields[names.index(name)] for name in names}


def _below_the_header(head: Block) -> Block:
    start = len(head.text) - len(head.text.lstrip())
    end = head.text.find(b"\n", start) + 1 or len(head.text)
    return Block(head.row + head.text.count(b"\n", 0, end), head.text[end:])


class _Parser:
    def __init__(self, names: list[str], wanted: Wanted) -> None:
        import pyarrow as pa
        from pyarrow import csv as pa_csv

        self._wanted, self._width = wanted, len(names)
        self._places = {name: names.index(name) for name in (*wanted.numbers, *wanted.times, *wanted.labels)}
        # Columns are named by their places here, since a file may have a name twice.
        columns = [str(place) for place in range(len(names))]
        kinds = {name: pa.float64() for name in wanted.numbers} | {name: pa.string() for name in wanted.labels}
        self._zones = ["UTC", None] if wanted.times else [None]
        self._convert = {
            zone: pa_csv.ConvertOptions(
                column_types={
                    str(self._places[name]): kind
                    for name, kind in (kinds | {name: pa.timestamp("ns", zone) for name in wanted.times}).items()
                },
                include_columns=list(dict.fromkeys(map(str, self._places.values()))),
                null_values=_NOT_NUMBERS,
                strings_can_be_null=False,
            )
            for zone in self._zones
        }
        self._read = pa_csv.ReadOptions(column_names=columns, use_threads=False, block_size=2 << 20)
        self._parse = pa_csv.ParseOptions(quote_char=False, escape_char=False, ignore_empty_lines=False)

    def __call__(self, block: Block, *, is_last: bool) -> tuple[Cells, Block]:
        """The rows, and the lines at the end that continue in the next block."""
        table = self._at_once(block.text) if _is_plain(block.text) else None
        if table is not None:
            return self._cells(block.row, table), Block(0, b"")
        records, rest = records_of(block, self._width, is_last=is_last)
        return self._row_by_row(records), rest

    def _at_once(self, text: bytes) -> "pa.Table | None":
        """The block as a table; None where any cell or row is irregular."""
        import pyarrow as pa
        from pyarrow import csv as pa_csv

        for zone in self._zones:
            try:
                table = pa_csv.read_csv(pa.BufferReader(text), self._read, self._parse, self._convert[zone])
            except pa.ArrowInvalid:
                continue
            self._zones.sort(key=lambda other: other != zone)  # the next block most likely has the same kind of times
            return table
        return None

    def _cells(self, row: int, table: "pa.Table") -> Cells:
        import pyarrow as pa

        def column(name: str) -> Any:
            return table.column(str(self._places[name]))

        return Cells(
            row=np.arange(row, row + table.num_rows),
            numbers={name: column(name).to_numpy() for name in self._wanted.numbers},
            times={
                name: (column(name).cast(pa.int64()).fill_null(0).to_numpy(), column(name).is_valid().to_numpy())
                for name in self._wanted.times
            },
            labels={name: column(name).to_pylist() for name in self._wanted.labels},
            unreadable=[],
        )

    def _row_by_row(self, records: Records) -> Cells:
        def column(name: str) -> list[str]:
            place = self._places[name]
            return [fields[place] for fields in records.fields]

        return Cells(
            row=np.array(records.rows, dtype=np.int64),
            numbers={
                name: np.array([number_of(text) for text in column(name)], dtype=np.float64)
                for name in self._wanted.numbers
            },
            times={name: calendar_times(column(name)) for name in self._wanted.times},
            labels={name: list(column(name)) for name in self._wanted.labels},
            unreadable=records.unreadable,
        )


def _is_plain(text: bytes) -> bool:
    """Whether each line is one row: no quotes, no blank lines, and carriage returns only at the ends of lines."""
    return not (
        b'"' in text
        or text.startswith((b"\n", b"\r\n"))
        or b"\n\n" in text
        or b"\n\r" in text
        or text.count(b"\r") != text.count(b"\r\n")
    )
