"""A trace file as blocks of whole lines: decompressed in pieces, checked to be text, read once from front to end."""

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

from ...errors import InvalidTrace

UNPACKED_LIMIT_BYTES = 8 << 30
"""The largest size that a compressed file may unpack to by default."""
LONGEST_LINE_BYTES = 64 << 20
"""One line can be a whole session of an agent, which has up to some ten megabytes."""

_PIECE_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_PARQUET_MAGIC = b"PAR1"
LFS_MAGIC = b"version https://git-lfs.github.com/spec/"
_BOM = b"\xef\xbb\xbf"
_EXPECTED = "expected CSV, JSON or Parquet, the first two plain, gzip or zstd"


class Block(NamedTuple):
    """Whole lines of a file, and the number of the first one, counted from 1 as in an editor."""

    row: int
    text: bytes


class TraceFile:
    """An open file; only the next block is in memory. Use it in a `with` statement.

    Attributes:
        path: its place on the disk.
        is_parquet: whether it is a Parquet file, which has no blocks of text.
        head: the first block that is not all blank: about a mebibyte, or the whole of a shorter file.
        first_line: the first line of it that is not blank.
    """

    def __init__(
        self, path: Path, *, unpacked_limit_bytes: int = UNPACKED_LIMIT_BYTES, piece_bytes: int = _PIECE_BYTES
    ) -> None:
        """Open a file. Its content tells how it is compressed; its name does not matter.

        Raises:
            InvalidTrace: the file is missing, empty, damaged, a Git LFS pointer or not text. Reading a block may raise
                it too, also where the file unpacks to more than the limit.
        """
        self.path = path
        self._limit = unpacked_limit_bytes
        self._piece_bytes = piece_bytes
        self._hashed = _Hashed(_opened(path))
        self._raw = io.BufferedReader(self._hashed, 1 << 16)
        try:
            self.is_parquet = self._raw.peek(4).startswith(_PARQUET_MAGIC)
            self._blocks = iter(()) if self.is_parquet else self._whole_lines()
            self.head = Block(1, b"") if self.is_parquet else self._first_block()
            self.first_line = _first_line(self.head.text)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    def blocks(self) -> Iterator[Block]:
        """All blocks, the head first. They can be read once."""
        return chain([self.head], self._blocks)

    def whole(self, limit_bytes: int) -> bytes:
        """The whole text, for a file that is one JSON document. Raises InvalidTrace beyond the limit."""
        texts, size = [], 0
        for block in self.blocks():
            size += len(block.text)
            if size > limit_bytes:
                raise InvalidTrace(
                    f"{self.path} is one JSON document of more than {limit_bytes >> 20} MiB: write one object per line"
                )
            texts.append(block.text)
        return b"".join(texts)

    def sha256(self) -> str:
        """The hash of the bytes on the disk. Reads the file to its end."""
        while self._raw.read(_PIECE_BYTES):
            pass
        return self._hashed.digest.hexdigest()

    def _first_block(self) -> Block:
        first = next((block for block in self._blocks if not block.text.isspace()), None)
        if first is None:
            raise InvalidTrace(f"{self.path} is empty: fetch it again")
        if first.text.startswith(LFS_MAGIC):
            raise InvalidTrace(f"{self.path} is a Git LFS pointer, not the data: run `git lfs pull` in its repository")
        return first

    def _whole_lines(self) -> Iterator[Block]:
        row, start = 1, 0
        begun: list[bytes] = []  # a line whose end has not been read yet
        for piece in self._pieces():
            cut = piece.rfind(b"\n") + 1
            if not cut:
                begun.append(piece)
                if sum(map(len, begun)) > LONGEST_LINE_BYTES:
                    raise InvalidTrace(
                        f"{self.path} row {row}: the line is longer than {LONGEST_LINE_BYTES >> 20} MiB: "
                        "write one row per line"
                    )
                continue
            text = b"".join([*begun, piece[:cut]])
            begun = [piece[cut:]]
            yield self._checked(row, start, text)
            row += text.count(b"\n")
            start += len(text)
        rest = b"".join(begun)
        if rest:
            yield self._checked(row, start, rest)

    def _checked(self, row: int, start: int, text: bytes) -> Block:
        if not text.isascii():
            try:
                text.decode()
            except UnicodeDecodeError as error:
                row += text.count(b"\n", 0, error.start)
                raise InvalidTrace(
                    f"{self.path} is not a text file (byte {start + error.start}, row {row}): {_EXPECTED}"
                ) from None
        return Block(row, text.removeprefix(_BOM) if start == 0 else text)

    def _pieces(self) -> Iterator[bytes]:
        """Small pieces, so that a file that unpacks to terabytes is refused before it fills the memory."""
        # Kept in an attribute: pyarrow's stream closes the file when it is garbage collected.
        self._stream, packing = self._unpacked()
        unpacked = 0
        while piece := self._next_piece(self._stream, packing):
            unpacked += len(piece)
            if packing and unpacked > self._limit:
                raise InvalidTrace(
                    f"{self.path} unpacks to more than {self._limit:,} bytes: if that is right, unpack it first"
                )
            if b"\x00" in piece:
                raise InvalidTrace(f"{self.path} is not a text file: {_EXPECTED}")
            yield piece

    def _unpacked(self) -> tuple[IO[bytes] | Any, str]:
        """A stream of decompressed bytes, and the name of the compression, if any."""
        magic = self._raw.peek(4)
        if magic.startswith(GZIP_MAGIC):
            return gzip.GzipFile(fileobj=self._raw, mode="rb"), "gzip"
        if magic.startswith(_ZSTD_MAGIC):
            import pyarrow as pa

            return pa.CompressedInputStream(pa.PythonFile(self._raw, mode="r"), "zstd"), "zstd"
        return self._raw, ""

    def _next_piece(self, stream: IO[bytes] | Any, packing: str) -> bytes:
        try:
            piece: bytes = stream.read(self._piece_bytes)
        except (EOFError, zlib.error, OSError) as error:
            if packing and not getattr(error, "errno", None):
                raise InvalidTrace(f"{self.path} is a damaged or truncated {packing} file: fetch it again") from None
            raise InvalidTrace(f"cannot read {self.path}: {getattr(error, 'strerror', None) or error}") from None
        return piece


def _first_line(text: bytes) -> bytes:
    start = len(text) - len(text.lstrip())
    end = text.find(b"\n", start)
    return text[start : end if end >= 0 else None].rstrip()


class _Hashed(io.RawIOBase):
    """A raw file that hashes all bytes that are read from it."""

    def __init__(self, raw: io.FileIO) -> None:
        self._raw = raw
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._raw.readinto(buffer)
        self.digest.update(memoryview(buffer)[:count])
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _opened(path: Path) -> io.FileIO:
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # opening a pipe may block for ever
            raise InvalidTrace(f"{path} is a pipe or device: write it to a file first")
        return io.FileIO(path)
    except FileNotFoundError:
        raise InvalidTrace(f"{path} does not exist: check the path") from None
    except IsADirectoryError:
        raise InvalidTrace(f"{path} is a folder: name the trace file in it") from None
    except (OSError, ValueError) as error:
        raise InvalidTrace(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
