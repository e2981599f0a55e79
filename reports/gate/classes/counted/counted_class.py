"""The counted class of the gate: counts against the accepted baseline."""

from contextlib import suppress
from pathlib import Path

import msgspec

from ... import builds
from ...baseline import (
    BaselineUpdate,
    accepted_or_none,
    describe_differences,
    read_baseline,
    refuse_empty,
    write_baseline,
)
from ...broken import Broken
from ...config import Share, share
from ...gate import Gate
from ...result import Check
from ..gate_class import GateClass
from .comparison import NAME, carried_over, compare_counts
from .counting import Counts, build_core_bench, count_core_bench

_FILE = "counted.json"


class CountedSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How strictly counts are compared."""

    max_increase: Share = "0.5%"


class CountedClass(GateClass[CountedSettings]):
    """Counts of the core's benchmark program under cachegrind."""

    name = NAME
    settings = CountedSettings
    needs_base = True
    lists_changes = True
    rule = (
        "Instructions, allocations and copied bytes of the core's benchmark program. They have almost no noise, so a "
        "small increase above the limit fails. Base and head are counted with the same compiler, flags and tools."
    )

    def measure(self, gate: Gate, settings: CountedSettings) -> list[Check]:
        """Count the working tree; count the base too if the baseline comes from another compiler or machine."""
        accepted = read_counts(gate.baseline / _FILE)
        head = _count_head(gate)
        if accepted.key != head.key:
            accepted = _accepted_here(gate, accepted, head)
        return compare_counts(accepted, head, max_increase=share(settings.max_increase), limits=gate.config.limits)

    def accept(self, gate: Gate, settings: CountedSettings) -> BaselineUpdate:
        """The counts of the working tree."""
        path, counts = gate.baseline / _FILE, _count_head(gate)
        before = accepted_or_none(lambda: read_counts(path))
        changed = describe_differences(NAME, before.counts if before else None, counts.counts)
        if before and before.key != counts.key:
            changed.append("counted: with another compiler, valgrind or machine")
        return BaselineUpdate(changed, lambda: write_counts(path, counts))


def _count_head(gate: Gate) -> Counts:
    gate.say("building the core's benchmark program")
    program = build_core_bench(gate.root, gate.builds / "head" / "core")
    gate.say("counting instructions, allocations and copies")
    return count_core_bench(program)


def _accepted_here(gate: Gate, accepted: Counts, head: Counts) -> Counts:
    """The accepted counts as this machine would have counted them, from a count of the base commit."""
    base = gate.base_commit
    gate.note(
        f"the counted baseline comes from another compiler, valgrind or machine: {base[:12]} was counted again here"
    )
    gate.say(f"building and counting {base[:12]}")
    program = build_core_bench(builds.source_tree(gate.root, base, gate.builds), gate.builds / base[:12] / "core")
    before = None
    with suppress(Broken, ValueError):  # ValueError: the baseline lies outside of the repository
        before = read_counts(gate.baseline_in_base() / _FILE)
    return carried_over(accepted, before, count_core_bench(program), head)


def read_counts(path: Path) -> Counts:
    """Read the accepted counts. Raises Broken: the file is missing, empty or damaged."""
    found = read_baseline(path, Counts)
    refuse_empty(path, any(found.counts.values()))
    return found


def write_counts(path: Path, counts: Counts) -> None:
    """Write accepted counts."""
    write_baseline(path, counts, indent=2)
