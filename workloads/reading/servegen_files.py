"""The files of ServeGen's clients, in a folder or in a tar of one (plain or gzip), which is read in one pass.

A client is `chunk-N-trace.csv`, and `chunk-N-dataset.json` if its lengths are known. Nothing is unpacked to the disk.
"""

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, Self

from ...errors import InvalidTrace, quoted
from ..readers.file import GZIP_MAGIC, LFS_MAGIC

LARGEST_FILE_BYTES = 64 << 20
ARCHIVE_LIMIT_BYTES = 512 << 20
"""The largest size that an archive may unpack to, including files that are not used."""
MOST_MEMBERS = 10_000
LONGEST_HEADER_BYTES = 1 << 20
"""The largest header (name and attributes) of a member; tarfile holds it in memory."""

_FILE_NAME = re.compile(r"chunk-(\d{1,9})-(trace\.csv|dataset\.json)", re.ASCII)
_TAR_MAGIC, _TAR_MAGIC_AT, _TAR_BLOCK_BYTES = b"ustar", 257, 512
_DAMAGES = (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, OverflowError, RecursionError)


class ClientFile(NamedTuple):
    """One file of a client: `kind` is `trace.csv` or `dataset.json`."""

    client: int
    kind: str
    name: str
    content: bytes


def holds_clients(path: Path) -> bool:
    """Whether the path is a folder of clients or a tar; False if it cannot be read."""
    try:
        if path.is_dir():
            return any(_FILE_NAME.fullmatch(each.name) for each in path.iterdir())
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = _unpacked(file).read(_TAR_BLOCK_BYTES)
        return head[_TAR_MAGIC_AT:].startswith(_TAR_MAGIC)
    except (OSError, ValueError, EOFError, zlib.error):
        return False


def client_files(path: Path, *, unpacked_limit_bytes: int = ARCHIVE_LIMIT_BYTES) -> Iterator[ClientFile]:
    """All files of clients, one in memory at a time.

    Raises:
        InvalidTrace: a file cannot be read, is too large or comes twice; or an archive is damaged, unpacks to too much,
            has unsafe members, or has the clients of several workloads.
    """
    seen = set()
    for file in _in_folder(path) if path.is_dir() else _in_archive(path, unpacked_limit_bytes):
        if file.content.startswith(LFS_MAGIC):
            raise InvalidTrace(
                f"{path}: {file.name} is a Git LFS pointer, not the data: run `git lfs pull` in its repository"
            )
        if (file.client, file.kind) in seen:
            raise InvalidTrace(f"{path}: client {file.client} has more than one {file.kind}: keep one")
        seen.add((file.client, file.kind))
        yield file


def _in_folder(path: Path) -> Iterator[ClientFile]:
    for each in sorted(path.iterdir()):
        found = _FILE_NAME.fullmatch(each.name)
        if found is None:
            continue
        try:
            with each.open("rb") as file:
                content = file.read(LARGEST_FILE_BYTES + 1)
        except OSError as error:
            raise InvalidTrace(f"cannot read {each}: {error.strerror or error}") from None
        _check_size(path, each.name, len(content))
        yield ClientFile(int(found[1]), found[2], each.name, content)


def _in_archive(path: Path, limit_bytes: int) -> Iterator[ClientFile]:
    folders = set()
    try:
        with path.open("rb") as packed, _archive(path, packed, limit_bytes) as archive:
            for count, member in enumerate(archive):
                _check_member(path, member, count)
                place = PurePosixPath(member.name)
                found = _FILE_NAME.fullmatch(place.name)
                content = archive.extractfile(member) if found else None
                if found is None or content is None:
                    continue
                folders.add(str(place.parent))
                if len(folders) > 1:
                    names = " and ".join(quoted(folder) for folder in sorted(folders))
                    raise InvalidTrace(f"{path} has clients of several workloads, in {names}: pack only one")
                yield ClientFile(int(found[1]), found[2], place.name, content.read())
    except _DAMAGES as error:
        raise InvalidTrace(f"{path} is a damaged or truncated archive ({quoted(str(error))}): fetch it again") from None


def _archive(path: Path, packed: IO[bytes], limit_bytes: int) -> tarfile.TarFile:
    stream: Any = _Limited(path, packed, limit_bytes)  # tarfile only calls read on a stream
    return tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member)


class _Member(tarfile.TarInfo):
    """A member whose announced size is checked before anything is read."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if not (member.isreg() or 0 <= member.size <= LONGEST_HEADER_BYTES):
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        return member


def _check_member(path: Path, member: tarfile.TarInfo, earlier: int) -> None:
    place = PurePosixPath(member.name)
    if place.is_absolute() or ".." in place.parts or not (member.isreg() or member.isdir()):
        kind = "lies outside the archive" if member.isreg() or member.isdir() else "is a link or a device"
        raise InvalidTrace(f"{path}: {quoted(member.name)} {kind}: pack plain files alone")
    _check_size(path, member.name, member.size)
    if earlier >= MOST_MEMBERS:
        raise InvalidTrace(f"{path} has more than {MOST_MEMBERS:,} members: pack only the clients")


def _check_size(path: Path, name: str, size: int) -> None:
    if not 0 <= size <= LARGEST_FILE_BYTES:
        raise InvalidTrace(f"{path}: {quoted(name)} is larger than {LARGEST_FILE_BYTES >> 20} MiB")


def _unpacked(file: IO[bytes]) -> IO[bytes] | Any:
    magic = file.read(len(GZIP_MAGIC))
    file.seek(0)
    return gzip.GzipFile(fileobj=file, mode="rb") if magic == GZIP_MAGIC else file


class _Limited:
    """A decompressed stream that raises InvalidTrace beyond its limit."""

    def __init__(self, path: Path, file: IO[bytes], limit_bytes: int) -> None:
        self._path, self._stream, self._limit = path, _unpacked(file), min(limit_bytes, ARCHIVE_LIMIT_BYTES)
        self._given = 0

    def read(self, size: int) -> bytes:
        piece: bytes = self._stream.read(size)
        self._given += len(piece)
        if self._given > self._limit:
            raise InvalidTrace(
                f"{self._path} unpacks to more than {self._limit:,} bytes: unpack it and name the folder"
            )
        return piece
