"""From a file to a trace: unpack, recognise the format by content, read, clean."""

import gzip
import hashlib
import zlib
from pathlib import Path

from ..errors import InvalidTrace
from .cleaning import clean
from .readers import READERS, Reader
from .trace import Trace, TraceSource

_GZIP_MAGIC = b"\x1f\x8b"
_LFS_MAGIC = b"version https://git-lfs.github.com/spec/"
_BOM = b"\xef\xbb\xbf"


def read_trace(path: Path, *, max_new_tokens: int | None = None) -> Trace:
    """Read a trace file, plain or gzip, in any format of `readers`.

    Times are shifted so that the first request arrives at 0. Rows that cannot be used are dropped under a named
    reason and counted in the source. `max_new_tokens` defaults to the format's; longer outputs are clipped to it, as a
    server would.

    Raises:
        InvalidTrace: the file is missing, damaged, of an unknown format or holds no usable row.
    """
    packed = _bytes_of(path)
    text = _unpacked(path, packed)
    reader = _recognised(path, text)
    name = path.name.split(".")[0]
    limit = max_new_tokens if max_new_tokens is not None else reader.max_new_tokens
    if limit < 1:
        raise InvalidTrace(f"{path}: max_new_tokens is {limit}, expected at least 1")
    cleaned = clean(path, reader.read(text), limit)
    return Trace(
        name=name,
        arrival_ns=cleaned.arrival_ns,
        prompt_tokens=cleaned.prompt_tokens,
        output_tokens=cleaned.output_tokens,
        max_new_tokens=limit,
        has_times=cleaned.has_times,
        source=TraceSource(
            path=path.name,
            sha256=hashlib.sha256(packed).hexdigest(),
            format=reader.name,
            rows_read=cleaned.rows_read,
            kept=len(cleaned.arrival_ns),
            dropped=cleaned.dropped,
            repaired=cleaned.repaired,
            examples=cleaned.examples,
        ),
    )


def _bytes_of(path: Path) -> bytes:
    try:
        packed = path.read_bytes()
    except FileNotFoundError:
        raise InvalidTrace(f"{path} does not exist: check the path") from None
    except IsADirectoryError:
        raise InvalidTrace(f"{path} is a folder: name the trace file in it") from None
    except OSError as error:
        raise InvalidTrace(f"cannot read {path}: {error.strerror}") from None
    if not packed.strip():
        raise InvalidTrace(f"{path} is empty: fetch it again")
    return packed


def _unpacked(path: Path, packed: bytes) -> bytes:
    text = packed
    if packed.startswith(_GZIP_MAGIC):
        try:
            text = gzip.decompress(packed)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise InvalidTrace(f"{path} is a damaged or truncated gzip file: fetch it again") from None
    if text.startswith(_LFS_MAGIC):
        raise InvalidTrace(f"{path} is a Git LFS pointer, not the data: run `git lfs pull` where it came from")
    text = text.removeprefix(_BOM)
    try:
        text.decode()
    except UnicodeDecodeError as error:
        row = text.count(b"\n", 0, error.start) + 1
        raise InvalidTrace(
            f"{path} is not a text file (byte {error.start}, row {row}): expected CSV or JSON, plain or gzip"
        ) from None
    if b"\x00" in text:
        raise InvalidTrace(f"{path} is not a text file: expected CSV or JSON, plain or gzip")
    if not text.strip():
        raise InvalidTrace(f"{path} is empty: fetch it again")
    return text


def _recognised(path: Path, text: bytes) -> Reader:
    for reader in READERS:
        if reader.recognises(text):
            return reader
    found = text.lstrip().split(b"\n", 1)[0].strip().decode()
    shown = found if len(found) <= 80 else found[:77] + "..."
    known = "; ".join(f"{reader.name}: {reader.looks_like}" for reader in READERS)
    raise InvalidTrace(f"{path} row 1: '{shown}' begins no known trace format. Known are {known}")
