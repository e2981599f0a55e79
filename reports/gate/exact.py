"""Figures that must be equal: whatever changes them, for better or worse, is to be accepted by somebody."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from .baseline import read_baseline
from .broken import Broken
from .result import Check, Kind, Outcome

Figures = dict[str, dict[str, int | str]]
"""By name (scenario and policy), by metric: whole numbers and hashes, which are the same on every machine."""

ACCEPT = "if it is meant: warpgroup gate accept --reason '...'"


class _Baseline(msgspec.Struct, forbid_unknown_fields=True):
    figures: Figures


def compare(base: Figures, head: Figures) -> list[Check]:
    """One check a figure: equal, or changed. What only one of them has is broken: it was renamed, or never accepted."""
    checks = []
    for name in sorted({*base, *head}):
        ours, theirs = base.get(name, {}), head.get(name, {})
        checks += [_compared(name, metric, ours.get(metric), theirs.get(metric)) for metric in {**ours, **theirs}]
    return checks


def _compared(name: str, metric: str, base: int | str | None, head: int | str | None) -> Check:
    outcome, detail, change = Outcome.PASSED, "", None
    if base is None or head is None:
        outcome = Outcome.BROKEN
        missing = "is not in the baseline" if base is None else "is gone"
        detail = f"{missing}: {ACCEPT}"
    elif base != head:
        outcome, detail = Outcome.CHANGED, ACCEPT
        if isinstance(base, int) and isinstance(head, int) and base:
            change = head / base - 1
    return Check(Kind.EXACT, name, metric, outcome, base, head, change, detail=detail)


def read_figures(path: Path) -> Figures:
    """What was accepted. Raises Broken: no such file, an empty one, or one that is damaged."""
    figures = read_baseline(path, _Baseline).figures
    if not figures:
        raise Broken(f"the baseline {path} is empty: warpgroup gate accept fills it")
    return figures


def write_figures(path: Path, figures: Mapping[str, Mapping[str, int | str]]) -> None:
    """Sorted and indented, for whoever reviews the difference."""
    content = msgspec.json.encode({"figures": figures}, order="sorted")
    path.write_bytes(msgspec.json.format(content, indent=1) + b"\n")
