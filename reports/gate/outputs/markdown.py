"""A result as Markdown: a comment on a pull request, or the summary of a job."""

from collections.abc import Sequence

from ...page.escaping import markdown_code, markdown_text
from ..result import Check, GateResult
from ..wording import ATTENTION, gate_verdict, interval_text, signed_percent, value_texts, worst_first

COMMENT_BYTES = 64_000
"""GitHub accepts a comment of up to 65,536 characters."""
SUMMARY_BYTES = 1_000_000
"""GitHub accepts 1,024 KiB a step, and drops a larger summary as a whole."""
LEAST_BYTES = 16_000
"""The parts that are never left out always fit into this."""

_HEAD = (
    "| outcome | class | benchmark | metric | base | head | change | limit | |\n|---|---|---|---|--:|--:|--:|--:|---|\n"
)


def result_markdown(result: GateResult, *, limit_bytes: int = COMMENT_BYTES) -> str:
    """The verdict, the checks that need attention, and the others folded, in at most `limit_bytes` of UTF-8.

    Rows that do not fit are left out, and a line says how many. Raises ValueError: the limit is below LEAST_BYTES.
    """
    if limit_bytes < LEAST_BYTES:
        raise ValueError(f"limit_bytes={limit_bytes} is below {LEAST_BYTES}")
    top, bottom = _top(result), _bottom(result)
    left_bytes = limit_bytes - _size(top) - _size(bottom)
    checks = worst_first(result.checks)
    others = [check for check in checks if check.outcome not in ATTENTION]
    # However many checks need attention, the number of the others must still fit.
    reserved = _size(_folded(others, 0))
    attention = _table([check for check in checks if check.outcome in ATTENTION], left_bytes - reserved)
    folded = _folded(others, left_bytes - _size(attention))
    return top + attention + folded + bottom


def _top(result: GateResult) -> str:
    sides = f"{markdown_code(result.base, 60)} → {markdown_code(result.head, 60)}"
    return f"### Performance gate: {markdown_text(gate_verdict(result), 200)}\n\n{sides}\n\n"


def _bottom(result: GateResult) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in sorted(result.machine.items()))
    notes = [f"- {markdown_text(note, 160)}\n" for note in result.notes[:5]]
    if len(result.notes) > len(notes):
        notes.append(f"- {len(result.notes) - len(notes):,} more notes are left out\n")
    facts = f"{markdown_text(result.date, 40)}, {result.seconds:,.0f} s, {markdown_text(machine, 200)}"
    return f"{''.join(notes)}\n{facts}\n\n{markdown_code(result.command, 300)}\n"


def _folded(checks: Sequence[Check], limit_bytes: int) -> str:
    if not checks:
        return ""
    opening = f"<details><summary>{len(checks):,} need no attention</summary>\n\n"
    closing = "\n</details>\n\n"
    return opening + _table(checks, limit_bytes - _size(opening) - _size(closing)) + closing


def _table(checks: Sequence[Check], limit_bytes: int) -> str:
    """As many rows as fit, and a line with the number of the others."""
    if not checks:
        return ""
    left = limit_bytes - _size(_HEAD) - _size(_left_out(len(checks)))
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
    return f"\n{count:,} more rows are left out here: the page and the JSON file have them.\n"


def _row(check: Check) -> str:
    base, head = value_texts(check)
    interval = f" ({interval_text(check)})" if check.interval else ""
    cells = (
        f"**{check.outcome}**" if check.outcome in ATTENTION else check.outcome,
        check.kind,
        markdown_code(check.name, 160),
        markdown_text(check.metric, 80),
        markdown_text(base, 60),
        markdown_text(head, 60),
        signed_percent(check.change) + interval,
        "" if check.threshold is None else signed_percent(check.threshold),
        markdown_text(check.detail, 300),
    )
    return f"| {' | '.join(cells)} |\n"


def _size(text: str) -> int:
    return len(text.encode())
