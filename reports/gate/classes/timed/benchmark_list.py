"""The accepted list of timed benchmarks.

Both sides run head's benchmark files, so only this list shows that a benchmark is gone.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from ...baseline import ACCEPT, read_baseline, refuse_empty, write_baseline
from ...result import Check, Outcome
from .decision import NAME

FILE = "timed.json"


def read_benchmark_list(path: Path) -> list[str]:
    """Read the names of the benchmarks. Raises Broken: the file is missing, empty or damaged."""
    names = read_baseline(path, list[str])
    refuse_empty(path, bool(names))
    return names


def write_benchmark_list(path: Path, names: Collection[str]) -> None:
    """Write the names, sorted, one a line."""
    write_baseline(path, sorted(names))


def compare_benchmark_lists(accepted: Sequence[str], present: Sequence[str]) -> list[Check]:
    """A broken check for each benchmark that only one of the two lists has."""
    gone = [(name, "was renamed or deleted") for name in accepted if name not in present]
    new = [(name, "is not in the baseline") for name in present if name not in accepted]
    return [
        Check(NAME, name, "presence", Outcome.BROKEN, detail=f"the benchmark {why}; {ACCEPT}")
        for name, why in gone + new
    ]


def report_new_benchmarks(checks: Sequence[Check], known_to_base: Collection[str]) -> list[Check]:
    """The checks; a new benchmark that base alone cannot run is only reported, since base may lack what it calls."""
    return [_reported_if_new(check, known_to_base) for check in checks]


def _reported_if_new(check: Check, known_to_base: Collection[str]) -> Check:
    if check.outcome is not Outcome.BROKEN or not check.fails_in_base_alone:
        return check
    if check.name not in known_to_base:
        return msgspec.structs.replace(check, outcome=Outcome.REPORTED, detail=f"new benchmark; {check.detail}")
    detail = f"{check.detail}; if the code that it calls was changed on purpose, add a [[waive]] entry"
    return msgspec.structs.replace(check, detail=detail)
