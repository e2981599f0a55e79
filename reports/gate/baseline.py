"""Accepted figures as files: how they are read, and what is said where they cannot be."""

from pathlib import Path
from typing import TypeVar

import msgspec

from .broken import Broken

_T = TypeVar("_T")


def read_baseline(path: Path, kind: type[_T]) -> _T:
    """A JSON file of that type. Raises Broken: there is none, or it is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise Broken(f"cannot read the baseline {path}: {error.strerror}; warpgroup gate accept writes it") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Broken(f"{path} is not a baseline: {error}; warpgroup gate accept writes it anew") from None
