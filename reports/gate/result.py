"""The result of a gate, from which every output is made."""

from enum import StrEnum
from pathlib import Path

import msgspec

SCHEMA = 1


class Outcome(StrEnum):
    """The outcome of one check."""

    PASSED = "passed"
    REGRESSED = "regressed"
    CHANGED = "changed"  # an exact figure differs, for better or worse, and is not accepted yet
    INCONCLUSIVE = "inconclusive"  # the measurement was too noisy for the time that was allowed
    WAIVED = "waived"  # failed, and a [[waive]] entry of the configuration allows it
    BROKEN = "broken"  # missing, renamed, crashed or not a number: the result is unknown
    REPORTED = "reported"  # never fails a gate


class ExitCode:
    """Exit codes of `warpgroup gate run`."""

    PASSED = 0
    REGRESSED = 1
    USAGE = 2
    INCONCLUSIVE = 3
    BROKEN = 4


class Check(msgspec.Struct, frozen=True):
    """One metric of one benchmark.

    Attributes:
        kind: name of the class of metric, such as "exact".
        name: of the benchmark, or scenario and policy.
        metric: what was compared, with its unit.
        base, head: the two values; None where one is missing.
        change: head / base - 1; None where that is not a number.
        interval: 99 % two-sided confidence interval of the change; timed checks only.
        threshold: a change above it fails.
        detail: the reason and the remedy in one line; empty if there is nothing to add.
        failed_sides: the sides ("base", "head") whose own run of a timed benchmark failed.
    """

    kind: str
    name: str
    metric: str
    outcome: Outcome
    base: float | int | str | None = None
    head: float | int | str | None = None
    change: float | None = None
    interval: tuple[float, float] | None = None
    threshold: float | None = None
    detail: str = ""
    failed_sides: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Unique within a result."""
        return f"{self.kind}:{self.name}:{self.metric}"

    @property
    def fails_in_base_alone(self) -> bool:
        """Whether head can run the benchmark and base cannot."""
        return self.failed_sides == ("base",)


class GateResult(msgspec.Struct, frozen=True):
    """The result of one run of the gate.

    Attributes:
        base, head: commits; head may be "working tree".
        machine: facts of the machine that the figures depend on, by name.
        notes: further remarks, one line each.
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
        """The number of checks with one of these outcomes."""
        return sum(check.outcome in outcomes for check in self.checks)

    @property
    def exit_code(self) -> int:
        """Broken checks weigh most, then regressions and changes, then inconclusive checks."""
        if self.count(Outcome.BROKEN) or not self.checks:
            return ExitCode.BROKEN
        if self.count(Outcome.REGRESSED, Outcome.CHANGED):
            return ExitCode.REGRESSED
        return ExitCode.INCONCLUSIVE if self.count(Outcome.INCONCLUSIVE) else ExitCode.PASSED

    def save(self, path: Path) -> None:
        """Write the result as indented JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")
