"""One small file a trace format. A new format is one more file, and one more name in `READERS`."""

from collections.abc import Callable
from dataclasses import dataclass

from . import azure, etalon, json_pairs, mooncake, nanoflow, vidur
from .raw import RawRows


@dataclass(frozen=True, slots=True)
class Reader:
    """A format: how it is recognised and read, and the `max_new_tokens` that its traces are run with by default."""

    name: str
    looks_like: str
    max_new_tokens: int
    recognises: Callable[[bytes], bool]
    read: Callable[[bytes], RawRows]


# In this order: NanoFlow's files have Azure's header, Vidur's have etalon's columns and one more.
READERS = (
    Reader("nanoflow", nanoflow.LOOKS_LIKE, 2_048, nanoflow.recognises, nanoflow.read),
    Reader("azure", azure.LOOKS_LIKE, 1_000, azure.recognises, azure.read),
    Reader("vidur", vidur.LOOKS_LIKE, 4_096, vidur.recognises, vidur.read),
    Reader("etalon", etalon.LOOKS_LIKE, 4_096, etalon.recognises, etalon.read),
    Reader("mooncake", mooncake.LOOKS_LIKE, 2_000, mooncake.recognises, mooncake.read),
    Reader("json-pairs", json_pairs.LOOKS_LIKE, 4_096, json_pairs.recognises, json_pairs.read),
)

__all__ = ["READERS", "RawRows", "Reader"]
