"""Lists of a prompt's blocks, as JSON has them: checked, and no longer than any prompt's."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np

from .json_table import decoded
from .raw import Integers, RawBlocks

_LONGEST_BYTES = 4 << 20
"""Some hundred thousand blocks: millions of tokens. More is a mistake, and would fill the memory as objects."""

_Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_ids = msgspec.json.Decoder(list[_Id] | None).decode


def block_ids(text: msgspec.Raw) -> Integers | None:
    """None where it is no list of whole numbers from 0 on; empty where nothing stands there."""
    written = bytes(text)
    if not written or written == b"null":
        return np.empty(0, dtype=np.int64)
    ids = decoded(_ids, written) if len(written) <= _LONGEST_BYTES else None
    return None if ids is None else np.array(ids, dtype=np.int64)


def raw_blocks(block_tokens: int, rows: Sequence[Integers | None]) -> RawBlocks:
    """What was read of each row, as columns."""
    counts = np.array([-1 if ids is None else len(ids) for ids in rows], dtype=np.int64)
    known = [ids for ids in rows if ids is not None]
    return RawBlocks(block_tokens, counts, np.concatenate(known) if known else np.empty(0, dtype=np.int64))
