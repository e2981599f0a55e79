"""The accepted list of timed benchmarks: both sides run the head's files, so one that is gone shows nowhere else."""

from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from .baseline import read_baseline
from .broken import Broken
from .config import fails_in_base_alone
from .exact import ACCEPT
from .result import Check, Kind, Outcome

FILE = "timed.json"


def read_benchmark_list(path: Path) -> list[str]:
    """Names of the benchmarks. Raises Broken: no such file, an empty one, or one that is damaged."""
    names = read_baseline(path, list[str])
    if not names:
        raise Broken(f"the baseline {path} is empty: warpgroup gate accept fills it")
    return names


def write_benchmark_list(path: Path, names: Collection[str]) -> None:
    """Sorted, one a line."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(sorted(names)), indent=1) + b"\n")


def compare(accepted: Sequence[str], present: Sequence[str]) -> list[Check]:
    """What only one of the two has, as broken checks."""
    gone = [(name, "was renamed or deleted") for name in accepted if name not in present]
    new = [(name, "is not in the baseline") for name in present if name not in accepted]
    return [
        Check(Kind.TIMED, name, "presence", Outcome.BROKEN, detail=f"it {why}: {ACCEPT}") for name, why in gone + new
    ]


def without_newcomers(checks: Sequence[Check], known_to_base: Collection[str]) -> list[Check]:
    """The checks, of which a benchmark that is new, and that the base alone cannot run, is reported and no more."""
    return [_as_newcomer(check, known_to_base) for check in checks]


def _as_newcomer(check: Check, known_to_base: Collection[str]) -> Check:
    if check.outcome is not Outcome.BROKEN or not fails_in_base_alone(check):
        return check
    if check.name not in known_to_base:
        return msgspec.structs.replace(check, outcome=Outcome.REPORTED, detail=f"new here; {check.detail}")
    detail = f"{check.detail}; if what it calls was changed on purpose, a [[waive]] lets it pass"
    return msgspec.structs.replace(check, detail=detail)
