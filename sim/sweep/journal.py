"""What a sweep has done so far, one line of JSON a simulation: a sweep that is cut off goes on from there."""

from pathlib import Path
from typing import Self

import msgspec

from ...errors import InvalidRun, OutputRefused
from .trials import Record

FILE = "trials.jsonl"


class Journal:
    """`trials.jsonl` in a folder, and its records by key."""

    def __init__(self, folder: Path, records: dict[str, Record]) -> None:
        self.folder = folder
        self.records = records
        self._path = folder / FILE

    @classmethod
    def empty(cls, folder: Path) -> Self:
        """One that takes no notice of what is there."""
        return cls(folder, {})

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What is there, if anything. A last line that was cut off is left out.

        Raises InvalidRun: a line before the last is no record.
        """
        path = folder / FILE
        try:
            lines = path.read_bytes().split(b"\n")
        except FileNotFoundError:
            lines = []
        except OSError as error:
            raise InvalidRun(f"cannot read {path}: {error.strerror}") from None
        records = {}
        # A whole line ends with a newline: what follows the last one is empty, or was cut off.
        for number, line in enumerate(lines[:-1], 1):
            try:
                record = msgspec.json.decode(line, type=Record)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise InvalidRun(f"{path} line {number} is no trial: {error}; delete it, or begin anew") from None
            records[record.key] = record
        return cls(folder, records)

    def add(self, record: Record) -> None:
        """Keep one more. Raises OutputRefused."""
        self.records[record.key] = record
        try:
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(record) + b"\n")
        except OSError as error:
            raise OutputRefused(f"cannot write {self._path}: {error.strerror}; --resume continues") from None

    def write(self) -> None:
        """All anew: whole lines alone, in an order that does not tell which ended first. Raises OutputRefused."""
        part = self._path.with_name(f"{FILE}.part")
        ordered = sorted(self.records.values(), key=lambda r: (r.policy, r.rate, r.seed, r.key))
        try:
            part.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in ordered))
            part.replace(self._path)
        except OSError as error:
            raise OutputRefused(f"cannot write {self._path}: {error.strerror}; choose another --out") from None
