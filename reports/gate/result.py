"""What a gate found: one result, from which every output is made."""

from enum import StrEnum
from pathlib import Path

import msgspec

SCHEMA = 1


class Kind(StrEnum):
    """A class of metric."""

    EXACT = "exact"
    COUNTED = "counted"
    TIMED = "timed"
    TREND = "trend"


class Outcome(StrEnum):
    """What became of one check."""

    PASSED = "passed"
    REGRESSED = "regressed"
    CHANGED = "changed"  # an exact figure, for better or worse: to be accepted
    INCONCLUSIVE = "inconclusive"  # noise hid whatever there was, for as long as there was time
    WAIVED = "waived"  # would have failed
    BROKEN = "broken"  # missing, renamed, crashed or no number: nothing is known
    REPORTED = "reported"  # never blocks


class ExitCode:
    """Of `warpgroup gate run`."""

    PASSED = 0
    REGRESSED = 1
    USAGE = 2
    INCONCLUSIVE = 3
    BROKEN = 4


class Check(msgspec.Struct, frozen=True):
    """One metric of one benchmark.

    Attributes:
        name: of the benchmark, or scenario and policy.
        metric: what was compared, its unit included.
        base, head: its values; None where there is none.
        change: head over base less 1; None where that is no number.
        interval: of the change, 99 %, two-sided; timed checks alone.
        threshold: a larger change fails.
        detail: why, and what to do, in one line; empty if there is nothing to say.
    """

    kind: Kind
    name: str
    metric: str
    outcome: Outcome
    base: float | int | str | None = None
    head: float | int | str | None = None
    change: float | None = None
    interval: tuple[float, float] | None = None
    threshold: float | None = None
    detail: str = ""

    @property
    def id(self) -> str:
        """Unique within a result."""
        return f"{self.kind}:{self.name}:{self.metric}"


class GateResult(msgspec.Struct, frozen=True):
    """A whole gate.

    Attributes:
        base, head: commits; head may be "working tree".
        machine: what the figures depend on, by name.
        notes: what else has to be known, a line each.
    """

    date: str
    command: str
    base: str
    head: str
    machine: dict[str, str]
    seconds: float
    checks: list[Check]
    notes: list[str] = []
    schema: int = SCHEMA

    def count(self, *outcomes: Outcome) -> int:
        """How many checks came out so."""
        return sum(check.outcome in outcomes for check in self.checks)

    @property
    def exit_code(self) -> int:
        """What is not known weighs most, then what got worse."""
        if self.count(Outcome.BROKEN) or not self.checks:
            return ExitCode.BROKEN
        if self.count(Outcome.REGRESSED, Outcome.CHANGED):
            return ExitCode.REGRESSED
        return ExitCode.INCONCLUSIVE if self.count(Outcome.INCONCLUSIVE) else ExitCode.PASSED

    def save(self, path: Path) -> None:
        """As indented JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


def read_result(path: Path) -> GateResult:
    """What `save` wrote. Raises msgspec.MsgspecError or OSError."""
    return msgspec.json.decode(path.read_bytes(), type=GateResult)
