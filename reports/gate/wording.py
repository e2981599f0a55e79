"""The words of a result, the same in every output: its verdict, the order of its checks, its numbers."""

import math
from collections.abc import Iterable

from ..page.escaping import line
from .result import Check, ExitCode, GateResult, Outcome

ATTENTION = (Outcome.BROKEN, Outcome.REGRESSED, Outcome.CHANGED, Outcome.INCONCLUSIVE, Outcome.WAIVED)
"""The outcomes that need attention, the worst first."""
ORDER = (*ATTENTION, Outcome.REPORTED, Outcome.PASSED)

WORDS = {
    ExitCode.PASSED: "PASSED",
    ExitCode.REGRESSED: "FAILED",
    ExitCode.INCONCLUSIVE: "INCONCLUSIVE",
    ExitCode.BROKEN: "BROKEN",
}
"""Each exit code of a gate in one word."""


def gate_verdict(result: GateResult) -> str:
    """The word, then the number of checks by outcome: `FAILED: 2 regressed, 1 changed; 41 passed`."""
    word = WORDS[result.exit_code]
    if not result.checks:
        return f"{word}: nothing was checked"
    groups = (
        outcome_counts(result.checks, ATTENTION),
        outcome_counts(result.checks, (Outcome.PASSED, Outcome.REPORTED)),
    )
    return f"{word}: {'; '.join(group for group in groups if group)}"


def outcome_counts(checks: Iterable[Check], outcomes: Iterable[Outcome]) -> str:
    """`2 regressed, 1 changed`: the outcomes that occur, in the order given."""
    found = [check.outcome for check in checks]
    return ", ".join(f"{found.count(outcome):,} {outcome}" for outcome in outcomes if outcome in found)


def worst_first(checks: Iterable[Check]) -> list[Check]:
    """The checks, the worst outcome first, then by class and name."""
    return sorted(checks, key=lambda check: (ORDER.index(check.outcome), check.kind, check.name, check.metric))


def value_texts(check: Check) -> tuple[str, str]:
    """Base and head, with as many digits as it takes to tell them apart."""
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


def signed_percent(share: float | None) -> str:
    """A change in percent, with its sign."""
    if not share:
        return "-" if share is None else "0 %"
    return f"{100 * share:+,.0f} %" if 1 <= abs(share) < 1e4 else f"{100 * share:+.3g} %"


def interval_text(check: Check) -> str:
    """The interval of the change; empty if there is none."""
    if check.interval is None:
        return ""
    return f"{signed_percent(check.interval[0])} to {signed_percent(check.interval[1])}"


def check_sentence(check: Check) -> str:
    """The values, change, limit and detail, in one line of at most a few hundred characters."""
    parts = [" -> ".join(value_texts(check))]
    if check.change is not None:
        parts.append(signed_percent(check.change) + (f" (99 %: {interval_text(check)})" if check.interval else ""))
    if check.threshold is not None:
        parts.append(f"limit {signed_percent(check.threshold)}")
    if check.detail:
        parts.append(line(check.detail, 400))
    return "; ".join(parts)


def check_title(check: Check) -> str:
    """Benchmark and metric, in one line of at most a few hundred characters."""
    return f"{line(check.name, 160)}: {line(check.metric, 80)}"
