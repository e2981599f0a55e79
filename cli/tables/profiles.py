"""How far predicted times are from measured ones."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..terminal import print_lines, stdout

if TYPE_CHECKING:
    from ...reports import Validation
    from ...sim.step_time.profile import Profile

_RUNS_BESIDE_EACH_OTHER = 5
"""In 80 columns."""


def show_profile(profile: "Profile") -> None:
    """The errors of a profile, by kind of step."""
    table = Table(
        title=f"{profile.model} on {profile.device}: {profile.source}", title_justify="left", box=None, pad_edge=False
    )
    table.add_column("kind of step")
    for name in ("measured", "median error", "p95 error", "error of the sum"):
        table.add_column(name, justify="right")
    for region, error in profile.error.items():
        table.add_row(region, f"{error.steps:,}", f"{error.median:.1%}", f"{error.p95:.1%}", f"{error.total:+.1%}")
    stdout.print(table)


def show_validations(validations: "Sequence[Validation]") -> None:
    """The errors of each simulation: a row for each figure that has a limit, a column for each run."""
    names = list(dict.fromkeys(check.name for each in validations for check in each.checks if check.limit is not None))
    print_lines("Errors of the simulation against the real run. A missed limit is marked with '!'.")
    for number, each in enumerate(validations, 1):
        print_lines(f"  [{number}] {each.title}")
    for first in range(0, len(validations), _RUNS_BESIDE_EACH_OTHER):
        shown = validations[first : first + _RUNS_BESIDE_EACH_OTHER]
        table = Table(box=None, pad_edge=False)
        table.add_column("figure")
        for number in range(first + 1, first + 1 + len(shown)):
            table.add_column(escape(f"[{number}]"), justify="right", no_wrap=True)
        for name in names:
            table.add_row(name, *(_error_of(each, name) for each in shown))
        stdout.print(table, "")


def _error_of(validation: "Validation", name: str) -> Text:
    check = next((check for check in validation.checks if check.name == name), None)
    if check is None or check.error is None:
        return Text("-")
    return Text(f"{check.error:+.1%} ") if check.holds else Text(f"{check.error:+.1%}!", style="red")
