"""A result as GitHub workflow commands, which GitHub shows as annotations of a run."""

from collections.abc import Sequence

from ..result import Check, GateResult, Outcome
from ..wording import check_sentence, check_title, gate_verdict, worst_first

MOST = 10
"""The most annotations of one level in a step; GitHub silently drops the rest."""

_LEVELS = {
    "error": (Outcome.BROKEN, Outcome.REGRESSED, Outcome.CHANGED),
    "warning": (Outcome.INCONCLUSIVE,),
    "notice": (Outcome.WAIVED,),
}


def annotation_commands(result: GateResult) -> list[str]:
    """One line for each command, the worst first, at most 10 of each level; the last says how many are left out."""
    if not result.checks:
        return [_command("error", "gate", gate_verdict(result))]
    lines = []
    for level, outcomes in _LEVELS.items():
        lines += _of_level(level, worst_first(check for check in result.checks if check.outcome in outcomes))
    return lines


def _of_level(level: str, checks: Sequence[Check]) -> list[str]:
    shown = checks if len(checks) <= MOST else checks[: MOST - 1]
    lines = [_command(level, f"{check.outcome}: {check_title(check)}", check_sentence(check)) for check in shown]
    if left_out := len(checks) - len(shown):
        lines.append(_command(level, "gate", f"{left_out:,} more are in the report of the gate"))
    return lines


def _command(level: str, heading: str, message: str) -> str:
    """One command. Both texts are single lines; the other special characters are escaped as GitHub expects."""
    heading = heading.replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={heading}::{message.replace('%', '%25')}"
