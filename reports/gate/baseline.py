"""The files of accepted figures: read, written, and compared with new figures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from .broken import Broken

_T = TypeVar("_T")

Figures = dict[str, dict[str, int | str]]
"""By benchmark (or scenario and policy), by metric: whole numbers and hashes, the same on every machine."""

ACCEPT = "if this is intended, run: warpgroup gate accept --reason '...'"


@dataclass(frozen=True, slots=True)
class BaselineUpdate:
    """A new baseline of one class, measured and not yet written.

    Attributes:
        changed: the differences from the accepted baseline, one line each.
        write: writes the baseline.
    """

    changed: list[str]
    write: Callable[[], None]


def read_baseline(path: Path, kind: type[_T]) -> _T:
    """Read a JSON file of accepted figures. Raises Broken: the file is missing, empty or damaged."""
    remedy = "run `warpgroup gate accept` to write it"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise Broken(f"cannot read the baseline {path}: {error.strerror}; {remedy}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Broken(f"{path} is not a baseline: {error}; {remedy}") from None
    return found


def refuse_empty(path: Path, has_content: bool) -> None:
    """Raises Broken: a baseline without figures would let everything pass."""
    if not has_content:
        raise Broken(f"the baseline {path} is empty; run `warpgroup gate accept` to write it")


def write_baseline(path: Path, content: object, *, indent: int = 1) -> None:
    """Write sorted, indented JSON, so that a reviewer sees each difference as one line."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content, order="sorted"), indent=indent) + b"\n")


def accepted_or_none(read: Callable[[], _T]) -> _T | None:
    """The accepted baseline; None if it is missing or damaged."""
    try:
        return read()
    except Broken:
        return None


def describe_differences(
    name: str, before: Mapping[str, Mapping[str, int | str]] | None, after: Mapping[str, Mapping[str, int | str]]
) -> list[str]:
    """The differences between two tables of figures, one line each; the first baseline of a class is one line."""
    if before is None:
        return [f"{name}: first baseline, {sum(map(len, after.values()))} figures"]
    lines = []
    for case in sorted({*before, *after}):
        old, new = before.get(case, {}), after.get(case, {})
        for metric in sorted({*old, *new}):
            if old.get(metric) != new.get(metric):
                lines.append(f"{case}: {metric}: {old.get(metric)} -> {new.get(metric)}")
    return lines
