"""The journal of a sweep: one line of JSON for each finished simulation, from which an interrupted sweep continues."""

from pathlib import Path
from typing import Self

import msgspec

from ...errors import InvalidRun, OutputRefused
from .trials import Record

FILE = "trials.jsonl"


class Journal:
    """The file `trials.jsonl` in a folder, and its records by key."""

    def __init__(self, folder: Path, records: dict[str, Record]) -> None:
        self.folder = folder
        self.records = records
        self._path = folder / FILE

    @classmethod
    def empty(cls, folder: Path) -> Self:
        """A journal that ignores an existing file."""
        return cls(folder, {})

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The journal of an existing file, or an empty one. A last line without its end is left out.

        Raises:
            InvalidRun: the file cannot be read, or a line before the last is not a record.
        """
        path = folder / FILE
        try:
            lines = path.read_bytes().split(b"\n")
        except FileNotFoundError:
            lines = []
        except OSError as error:
            raise InvalidRun(f"cannot read {path}: {error.strerror}") from None
        records = {}
        # A complete line ends with a newline. The text after the last newline is empty or an incomplete line.
        for number, line in enumerate(lines[:-1], 1):
            try:
                record = msgspec.json.decode(line, type=Record)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise InvalidRun(
                    f"{path} line {number} is not a trial: {error}; delete the line, or sweep without --resume"
                ) from None
            records[record.key] = record
        return cls(folder, records)

    def add(self, record: Record) -> None:
        """Append one record.

        Raises:
            OutputRefused: the file cannot be written.
        """
        self.records[record.key] = record
        try:
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(record) + b"\n")
        except OSError as error:
            raise OutputRefused(f"cannot write {self._path}: {error.strerror}; --resume continues") from None

    def write(self) -> None:
        """Write the whole file again, in an order that does not depend on which simulation ended first.

        Raises:
            OutputRefused: the file cannot be written.
        """
        part = self._path.with_name(f"{FILE}.part")
        ordered = sorted(self.records.values(), key=lambda r: (r.policy, r.rate, r.seed, r.key))
        try:
            part.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in ordered))
            part.replace(self._path)
        except OSError as error:
            raise OutputRefused(f"cannot write {self._path}: {error.strerror}; choose another --out") from None
