"""Lists of a prompt's blocks in JSON, checked, and limited to the length that a prompt can have."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np

from .json_table import decoded
from .raw import Integers, RawBlocks

_LONGEST_BYTES = 4 << 20
"""Some hundred thousand blocks, or millions of tokens. A longer list is a mistake, and would fill memory as objects."""

_Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_ids = msgspec.json.Decoder(list[_Id] | None).decode


def block_ids(text: msgspec.Raw) -> Integers | None:
    """The ids in a list; empty where the key is missing or null; None where it is not a list of whole numbers >= 0."""
    written = bytes(text)
    if not written or written == b"null":
        return np.empty(0, dtype=np.int64)
    ids = decoded(_ids, written) if len(written) <= _LONGEST_BYTES else None
    return None if ids is None else np.array(ids, dtype=np.int64)


def raw_blocks(block_tokens: int, rows: Sequence[Integers | None]) -> RawBlocks:
    """The ids of each row, joined into columns. None marks a row whose list cannot be read."""
    counts = np.array([-1 if ids is None else len(ids) for ids in rows], dtype=np.int64)
    known = [ids for ids in rows if ids is not None]
    return RawBlocks(block_tokens, counts, np.concatenate(known) if known else np.empty(0, dtype=np.int64))
