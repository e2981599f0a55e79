"""How a command talks: results on stdout; progress, notes and errors on stderr."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from ..csrc import PolicySpec
from ..experiment import GIB
from ..workloads import Trace

stdout = Console()
stderr = Console(stderr=True)


def note(text: str) -> None:
    """One line for a person, on stderr."""
    stderr.print(text, highlight=False, soft_wrap=True, markup=False)


def error(text: str) -> None:
    """One line that says what is wrong, where, and what to do."""
    stderr.print(f"[bold red]error:[/] {escape(text)}", highlight=False, soft_wrap=True)


def show_path(what: str, path: Path) -> None:
    """Say where something was written."""
    note(f"{what}: {path}")


def note_trace(trace: Trace) -> None:
    """Say which rows are used, what was done to them, and which rows are not used and why."""
    source = trace.source
    note(f"trace {trace.name} ({source.format}): {len(trace):,} of {source.rows_read:,} rows")
    for what in source.transforms:
        note(f"  {what}")
    for verb, reasons in (("dropped", source.dropped), ("repaired", source.repaired)):
        for reason, count in reasons.items():
            example = source.examples.get(reason)
            note(f"  {verb} {count:,}: {reason.replace('_', ' ')}" + (f" (first: {example})" if example else ""))


def print_json(value: Any) -> None:
    """Anything that msgspec can encode, on stdout."""
    print(msgspec.json.encode(value).decode())


def print_lines(*lines: str, style: str = "") -> None:
    """Sentences on stdout, wrapped at the width of the terminal."""
    for line in lines:
        stdout.print(line, highlight=False, markup=False, style=style)


def progress() -> Progress:
    """Progress bars on stderr; each has a field `doing`."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[doing]}"),
        TimeElapsedColumn(),
        console=stderr,
    )


@contextmanager
def replay_progress(requests: int) -> Iterator[tuple[Any, Any]]:
    """A bar for each policy of a replay: yields (say, watch), which the replay calls."""
    with progress() as bars:
        tasks: dict[str, TaskID] = {}
        opening = bars.add_task("engine", total=None, doing="opening")

        def say(text: str) -> None:
            bars.update(opening, doing=text)

        def watch(policy: PolicySpec, now: Any) -> None:
            name = str(policy)
            if name not in tasks:
                bars.update(opening, total=1, completed=1, doing="ready")
                tasks[name] = bars.add_task(name, total=requests, doing="")
            doing = (
                f"{now.tokens / max(now.seconds, 1e-9):,.0f} tokens/s, {now.running} run, {now.waiting} wait, "
                f"{now.vram_bytes / GIB:.1f} GiB"
            )
            bars.update(tasks[name], completed=now.ended, doing=doing)

        yield say, watch
