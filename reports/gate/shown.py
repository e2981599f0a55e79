"""How a result is put into words, alike in every output: its verdict, the order of its checks, its figures."""

import math
from collections.abc import Iterable

from ..page.escaping import line
from .result import Check, ExitCode, GateResult, Outcome

ATTENTION = (Outcome.BROKEN, Outcome.REGRESSED, Outcome.CHANGED, Outcome.INCONCLUSIVE, Outcome.WAIVED)
"""What somebody has to look at, the worst first."""
ORDER = (*ATTENTION, Outcome.REPORTED, Outcome.PASSED)

WORDS = {
    ExitCode.PASSED: "PASSED",
    ExitCode.REGRESSED: "FAILED",
    ExitCode.INCONCLUSIVE: "INCONCLUSIVE",
    ExitCode.BROKEN: "BROKEN",
}
"""A gate's exit code in one word."""


def verdict(result: GateResult) -> str:
    """The word, then how many checks came out how: `FAILED: 2 regressed, 1 changed; 41 passed`."""
    word = WORDS[result.exit_code]
    if not result.checks:
        return f"{word}: nothing was checked"
    groups = (counts(result.checks, ATTENTION), counts(result.checks, (Outcome.PASSED, Outcome.REPORTED)))
    return f"{word}: {'; '.join(group for group in groups if group)}"


def counts(checks: Iterable[Check], outcomes: Iterable[Outcome]) -> str:
    """`2 regressed, 1 changed`: the outcomes that occur, in the order given."""
    found = [check.outcome for check in checks]
    return ", ".join(f"{found.count(outcome):,} {outcome}" for outcome in outcomes if outcome in found)


def in_order(checks: Iterable[Check]) -> list[Check]:
    """The worst first, then by class and name."""
    return sorted(checks, key=lambda check: (ORDER.index(check.outcome), check.kind, check.name, check.metric))


def values(check: Check) -> tuple[str, str]:
    """Base and head, in as many digits as it takes to tell them apart."""
    base = head = ""
    for digits in (4, 7, 10, 17):
        base, head = _value(check.base, digits), _value(check.head, digits)
        if base != head or check.base == check.head:
            break
    return base, head


def _value(value: float | int | str | None, digits: int) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return line(value, 3 * digits)
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return f"{value:,.0f}" if isinstance(value, float) else f"{value:,}"
    whole = len(str(int(abs(value)))) if math.isfinite(value) and abs(value) < 1e15 else 0
    return f"{value:,.{max(digits, whole)}g}"


def percent(share: float | None) -> str:
    """A change, with its sign."""
    if not share:
        return "-" if share is None else "0 %"
    return f"{100 * share:+,.0f} %" if 1 <= abs(share) < 1e4 else f"{100 * share:+.3g} %"


def spread(check: Check) -> str:
    """The interval of the change; empty if there is none."""
    return f"{percent(check.interval[0])} to {percent(check.interval[1])}" if check.interval else ""


def sentence(check: Check) -> str:
    """What was found, in one line of at most a few hundred characters."""
    parts = [" -> ".join(values(check))]
    if check.change is not None:
        parts.append(percent(check.change) + (f" (99 %: {spread(check)})" if check.interval else ""))
    if check.threshold is not None:
        parts.append(f"limit {percent(check.threshold)}")
    if check.detail:
        parts.append(line(check.detail, 400))
    return "; ".join(parts)


def title(check: Check) -> str:
    """Benchmark and metric, in one line of at most a few hundred characters."""
    return f"{line(check.name, 160)}: {line(check.metric, 80)}"
