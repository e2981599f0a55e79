"""Waivers: a check that is known to fail does not fail the gate until a date."""

from collections.abc import Sequence
from datetime import date
from fnmatch import fnmatchcase

import msgspec

from .config import Waiver
from .result import Check, Outcome


def apply_waivers(checks: Sequence[Check], waivers: Sequence[Waiver], today: date) -> tuple[list[Check], list[str]]:
    """Mark the failed checks that a waiver allows; also returns notes about waivers that expired or have no effect."""
    notes = []
    used: set[Waiver] = set()
    found = []
    for check in checks:
        matching = [waiver for waiver in waivers if fnmatchcase(check.id, _pattern(waiver.check))]
        waiver = max(matching, key=lambda each: each.until, default=None)
        if waiver is None or not _may_be_waived(check):
            found.append(check)
            continue
        used.update(matching)
        if waiver.until < today:
            notes.append(
                f"the waiver of {waiver.check} expired on {waiver.until}: fix the regression, or set a later date"
            )
            found.append(check)
            continue
        detail = f"{check.outcome}, waived until {waiver.until}: {waiver.reason}"
        found.append(msgspec.structs.replace(check, outcome=Outcome.WAIVED, detail=detail))
    kinds = {check.kind for check in checks}
    unused = [each for each in waivers if each not in used and each.check.partition(":")[0] in kinds]
    notes += [f"the waiver of {each.check} is not needed: remove it" for each in unused]
    return found, list(dict.fromkeys(notes))


def _may_be_waived(check: Check) -> bool:
    """A broken check cannot be waived, except where base alone cannot run it, as after an intended change."""
    if check.outcome is Outcome.BROKEN:
        return check.fails_in_base_alone
    return check.outcome in (Outcome.REGRESSED, Outcome.CHANGED, Outcome.INCONCLUSIVE)


def _pattern(text: str) -> str:
    """A pattern in which only * is special: benchmarks have brackets in their names."""
    return text.replace("[", "[[]")
