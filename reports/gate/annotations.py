"""A result as GitHub workflow commands, which become notes at the top of a run."""

from collections.abc import Sequence

from .result import Check, GateResult, Outcome
from .shown import in_order, sentence, title, verdict

MOST = 10
"""Of one kind in one step; GitHub drops the rest without a word."""

_LEVELS = {
    "error": (Outcome.BROKEN, Outcome.REGRESSED, Outcome.CHANGED),
    "warning": (Outcome.INCONCLUSIVE,),
    "notice": (Outcome.WAIVED,),
}


def annotations(result: GateResult) -> list[str]:
    """One line a command, the worst first, at most 10 of each level; the last says how many more there are."""
    if not result.checks:
        return [_command("error", "gate", verdict(result))]
    lines = []
    for level, outcomes in _LEVELS.items():
        lines += _of_level(level, in_order(check for check in result.checks if check.outcome in outcomes))
    return lines


def _of_level(level: str, checks: Sequence[Check]) -> list[str]:
    shown = checks if len(checks) <= MOST else checks[: MOST - 1]
    lines = [_command(level, f"{check.outcome}: {title(check)}", sentence(check)) for check in shown]
    if left_out := len(checks) - len(shown):
        lines.append(_command(level, "gate", f"{left_out:,} more are in the gate's report"))
    return lines


def _command(level: str, heading: str, message: str) -> str:
    """Both texts are on one line already; what else has a meaning in a command is escaped as GitHub reads it."""
    heading = heading.replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={heading}::{message.replace('%', '%25')}"
