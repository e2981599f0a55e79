"""A result as Markdown: a comment on a pull request, or the summary of a job's step."""

from collections.abc import Sequence

from ..page.escaping import markdown_code, markdown_text
from .result import Check, GateResult
from .shown import ATTENTION, in_order, percent, spread, values, verdict

COMMENT_BYTES = 64_000
"""GitHub takes a comment of 65,536 characters."""
SUMMARY_BYTES = 1_000_000
"""GitHub takes 1,024 KiB a step, and drops the whole summary if it is larger."""
LEAST_BYTES = 16_000
"""The parts that are never left out fit into this, whatever they hold."""

_HEAD = (
    "| outcome | class | benchmark | metric | base | head | change | limit | |\n|---|---|---|---|--:|--:|--:|--:|---|\n"
)


def markdown(result: GateResult, *, limit_bytes: int = COMMENT_BYTES) -> str:
    """The verdict, what needs attention, and the rest folded, in at most `limit_bytes` of UTF-8.

    Rows that do not fit are left out, and a line says how many. Raises ValueError: a limit below LEAST_BYTES.
    """
    if limit_bytes < LEAST_BYTES:
        raise ValueError(f"limit_bytes={limit_bytes} is below {LEAST_BYTES}")
    top, bottom = _top(result), _bottom(result)
    room = limit_bytes - _size(top) - _size(bottom)
    checks = in_order(result.checks)
    others = [check for check in checks if check.outcome not in ATTENTION]
    # Whatever needs attention, there is room to say how many others there are.
    attention = _table([check for check in checks if check.outcome in ATTENTION], room - _size(_folded(others, 0)))
    folded = _folded(others, room - _size(attention))
    return top + attention + folded + bottom


def _top(result: GateResult) -> str:
    sides = f"{markdown_code(result.base, 60)} → {markdown_code(result.head, 60)}"
    return f"### Performance gate: {markdown_text(verdict(result), 200)}\n\n{sides}\n\n"


def _bottom(result: GateResult) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in sorted(result.machine.items()))
    notes = [f"- {markdown_text(note, 160)}\n" for note in result.notes[:5]]
    if len(result.notes) > len(notes):
        notes.append(f"- {len(result.notes) - len(notes):,} more notes are left out\n")
    facts = f"{markdown_text(result.date, 40)}, {result.seconds:,.0f} s, {markdown_text(machine, 200)}"
    return f"{''.join(notes)}\n{facts}\n\n{markdown_code(result.command, 300)}\n"


def _folded(checks: Sequence[Check], room: int) -> str:
    if not checks:
        return ""
    opening = f"<details><summary>{len(checks):,} that need no attention</summary>\n\n"
    closing = "\n</details>\n\n"
    return opening + _table(checks, room - _size(opening) - _size(closing)) + closing


def _table(checks: Sequence[Check], room: int) -> str:
    """As many rows as fit, and a line about those that do not."""
    if not checks:
        return ""
    left = room - _size(_HEAD) - _size(_left_out(len(checks)))
    rows: list[str] = []
    for check in checks:
        row = _row(check)
        left -= _size(row)
        if left < 0:
            break
        rows.append(row)
    table = _HEAD + "".join(rows) if rows else ""
    return table + (_left_out(len(checks) - len(rows)) if len(rows) < len(checks) else "") + "\n"


def _left_out(count: int) -> str:
    return f"\n{count:,} more rows are left out here: they are in the gate's page and JSON.\n"


def _row(check: Check) -> str:
    base, head = values(check)
    interval = f" ({spread(check)})" if check.interval else ""
    cells = (
        f"**{check.outcome}**" if check.outcome in ATTENTION else check.outcome,
        check.kind,
        markdown_code(check.name, 160),
        markdown_text(check.metric, 80),
        markdown_text(base, 60),
        markdown_text(head, 60),
        percent(check.change) + interval,
        "" if check.threshold is None else percent(check.threshold),
        markdown_text(check.detail, 300),
    )
    return f"| {' | '.join(cells)} |\n"


def _size(text: str) -> int:
    return len(text.encode())
