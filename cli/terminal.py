"""What the command line shows: tables on stdout, progress and notes on stderr."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ..csrc import PolicyInfo, PolicySpec
from ..experiment import GIB, geometry_of
from ..workloads import DeviceSpec, ModelSpec, Scenario, Trace, TraceSummary

if TYPE_CHECKING:
    from ..records.sweep import Sweep
    from ..reports import Validation, Verdict
    from ..reports.gate.classes.timed.certification import Certificate
    from ..reports.gate.classes.timed.decision import TimingRule
    from ..sim.step_time.profile import Profile
    from ..workloads import FitReport

stdout = Console()
stderr = Console(stderr=True)


def note(text: str) -> None:
    """One line for the user's eyes, never for a pipe."""
    stderr.print(text, highlight=False, soft_wrap=True, markup=False)


def error(text: str) -> None:
    """One line that says what is wrong, where, and what to do."""
    stderr.print(f"[bold red]error:[/] {escape(text)}", highlight=False, soft_wrap=True)


def progress() -> Progress:
    """A bar for each run, with what it is doing."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[doing]}"),
        TimeElapsedColumn(),
        console=stderr,
    )


@contextmanager
def replaying(requests: int) -> Iterator[tuple[Any, Any]]:
    """A bar for each policy, with what it is doing: (say, watch) to be called by the replay."""
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


def note_trace(trace: Trace) -> None:
    """Which rows were used, what was done to them, and which were not used and why."""
    source = trace.source
    note(f"trace {trace.name} ({source.format}): {len(trace):,} of {source.rows_read:,} rows")
    for what in source.transforms:
        note(f"  {what}")
    for verb, reasons in (("dropped", source.dropped), ("repaired", source.repaired)):
        for reason, count in reasons.items():
            example = source.examples.get(reason)
            note(f"  {verb} {count:,}: {reason.replace('_', ' ')}" + (f" (first: {example})" if example else ""))


def show_runs(judged: "Verdict") -> None:
    """The table of a comparison, and the verdict under it."""
    from ..reports import comparison_table

    compared = comparison_table(judged)
    # Two tables, so that neither is wider than a terminal of 80 columns.
    half = next(i for i, (head, _) in enumerate(compared.heads) if head == "OOMs")
    for columns in (range(1, half), range(half, len(compared.heads))):
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("policy", no_wrap=True)
        for column in columns:
            table.add_column(compared.heads[column][0], justify="right", no_wrap=True)
        for row in compared.rows:
            table.add_row(escape(row[0].text), *(escape(row[column].text) for column in columns))
        stdout.print(table, "")
    stdout.print(judged.sentence, highlight=False, markup=False, style="bold")
    for detail in judged.details:
        stdout.print(f"- {detail}", highlight=False, markup=False)


def show_trace(summary: TraceSummary) -> None:
    """What a trace is like."""
    from ..reports.trace.text import trace_text

    table = Table(box=None, pad_edge=False)
    for head in ("tokens", "mean", "p50", "p95", "p99", "max"):
        table.add_column(head, justify="left" if head == "tokens" else "right")
    for name in ("prompt", "output", "total"):
        lengths = getattr(summary, f"{name}_tokens")
        figures = (lengths.mean, lengths.p50, lengths.p95, lengths.p99, lengths.max)
        table.add_row(name, *(f"{figure:,.0f}" for figure in figures))
    stdout.print(table)
    correlation = "" if summary.correlation is None else f", correlation with prompts {summary.correlation:.2f}"
    stdout.print(f"output is {summary.output_share:.1%} of all tokens{correlation}", highlight=False)
    for line in trace_text(summary):
        stdout.print(line, highlight=False)


_FITTED = {
    "turns": "turns of a session",
    "first_prompt": "first prompt of a session",
    "growth": "growth of the prompt from turn to turn",
    "think_s": "think time between turns",
}


def show_fit(report: "FitReport") -> None:
    """How far imitations are from their trace."""
    sessions = f" in {report.sessions:,} sessions" if report.sessions else ""
    table = Table(title=f"{report.requests:,} requests{sessions}, {report.components} components", title_justify="left")
    table.add_column("of")
    for name in ("trace", "model", "distance (KS)"):
        table.add_column(name, justify="right")
    for kind, distance in report.ks.items():
        table.add_row(_FITTED.get(kind, f"{kind} tokens"), "", "", f"{distance:.3f}")
    correlations = ("-" if value is None else f"{value:.2f}" for value in report.spearman)
    table.add_row("rank correlation of prompt and output", *correlations, "")
    if arrivals := report.arrivals:
        chosen = arrivals.chosen
        kind = type(chosen.process).__name__.lower()
        what = "session starts" if report.sessions else "arrivals"
        table.add_row(f"gaps between {what}: {kind}, CV", f"{arrivals.cv:.2f}", f"{chosen.cv:.2f}", f"{chosen.ks:.3f}")
        for window, value in arrivals.idc.items():
            model = f"{chosen.idc[window]:.2f}" if window in chosen.idc else "-"
            table.add_row(f"index of dispersion over {window}", f"{value:.2f}", model, "")
    stdout.print(table)
    for remark in report.arrivals.chosen.remarks if report.arrivals else ():
        stdout.print(f"- {remark}", highlight=False, markup=False)


def show_settings(settings: Mapping[str, Any]) -> None:
    """Names and values, one a line; inner ones under their own name."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, value in settings.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        table.add_row(name, escape(shown))
    stdout.print(table)


def show_policies(infos: list[PolicyInfo]) -> None:
    """The policies, what each stands for and its parameters."""
    table = Table("policy", "stands for", "parameters", box=None, pad_edge=False)
    for info in infos:
        parameters = "\n".join(f"{p.name}={p.default:g}: {p.meaning}" for p in info.parameters)
        table.add_row(info.id, info.stands_for + "\n", parameters)
    stdout.print(table)


def show_models(specs: list[ModelSpec]) -> None:
    """The model shapes."""
    table = Table(box=None, pad_edge=False)
    for column in ("model", "parameters", "weights", "KV per token", "context"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for spec in specs:
        geometry = geometry_of(spec)
        table.add_row(
            spec.name,
            f"{geometry.parameters / 1e9:.2f} B",
            f"{geometry.weight_bytes / GIB:.1f} GiB",
            f"{geometry.kv_bytes_per_token:,} B",
            f"{spec.context_tokens:,}",
        )
    stdout.print(table)


def show_devices(specs: list[DeviceSpec]) -> None:
    """The devices, and where their figures come from."""
    table = Table(box=None, pad_edge=False)
    for column in ("device", "memory", "bandwidth", "bf16"):
        table.add_column(column, justify="left" if column == "device" else "right")
    table.add_column("source")
    for spec in specs:
        table.add_row(
            spec.name,
            f"{spec.memory_bytes / GIB:.1f} GiB",
            f"{spec.bandwidth_bytes_s / 1e12:.2f} TB/s",
            f"{spec.bf16_flops / 1e12:.0f} TFLOP/s",
            spec.source,
        )
    stdout.print(table)


def show_scenarios(listed: list[Scenario]) -> None:
    """The built-in scenarios and what each is meant to show."""
    table = Table("scenario", "model", "device", "KV budget", "what it shows", box=None, pad_edge=False)
    for each in listed:
        budget = f"{each.kv_budget_tokens:,} tokens" if each.kv_budget_tokens else each.vram
        table.add_row(each.name, each.model, each.device, budget, each.purpose)
    stdout.print(table)


def show_profile(profile: "Profile") -> None:
    """How far off it is, by kind of step."""
    table = Table(title=f"{profile.model} on {profile.device}: {profile.source}", title_justify="left")
    table.add_column("of a kind")
    for name in ("measured", "median error", "p95", "all together"):
        table.add_column(name, justify="right")
    for region, error in profile.error.items():
        table.add_row(region, f"{error.steps:,}", f"{error.median:.1%}", f"{error.p95:.1%}", f"{error.total:+.1%}")
    stdout.print(table)


def show_validations(validations: "list[Validation]") -> None:
    """How far each simulation is off: a row a run, the figures that have limits."""
    names = list(dict.fromkeys(check.name for each in validations for check in each.checks if check.limit is not None))
    table = Table(title="simulated against real: errors; missed limits in red", title_justify="left")
    table.add_column("run")
    for name in names:
        table.add_column(name, justify="right")
    for each in validations:
        found = {check.name: check for check in each.checks}
        cells = [
            ""
            if (check := found.get(name)) is None or check.error is None
            else Text(f"{check.error:+.1%}", style="" if check.holds else "red")
            for name in names
        ]
        table.add_row(escape(each.title), *cells)
    stdout.print(table)


def show_detectable(found: dict[str, float], rule: "TimingRule") -> None:
    """The smallest slow-down that each benchmark detects here, beside its threshold."""
    table = Table(title="what this machine detects, at 1 % false alarms and 99 % power", title_justify="left")
    table.add_column("benchmark")
    for name in ("smallest slow-down", "threshold", "detectable"):
        table.add_column(name, justify="right")
    for name, smallest in sorted(found.items(), key=lambda item: -item[1]):
        seen = smallest <= rule.of(name)
        table.add_row(
            escape(name), f"{smallest:.1%}", f"{rule.of(name):.1%}", "yes" if seen else Text("NO", style="red")
        )
    stdout.print(table)


def show_certification(certificate: "Certificate") -> None:
    """How often the gate was wrong, by setting."""
    table = Table(title=f"trials of {certificate.certification.benchmark}", title_justify="left")
    table.add_column("setting")
    for name in ("trials", "outcomes", "wrong", "true rate, at most (95 %)", "s a trial"):
        table.add_column(name, justify="right")
    for setting, tally in certificate.certification.tallies.items():
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in tally.outcomes.items())
        seconds = tally.seconds / tally.gates
        table.add_row(
            setting, str(tally.gates), outcomes, str(tally.wrong), f"{tally.wrong_rate_bound:.2%}", f"{seconds:.1f}"
        )
    stdout.print(table)


def show_sweep(sweep: "Sweep") -> None:
    """What each policy can take."""
    from ..reports.comparison.frontier import capacities, capacity_sentence, notes

    found = capacities(sweep)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for position, (head, _) in enumerate(found.heads):
        table.add_column(head, justify="right" if position else "left", no_wrap=not position)
    for row in found.rows:
        table.add_row(*(escape(cell.text) for cell in row))
    stdout.print(table, "")
    stdout.print(capacity_sentence(sweep), highlight=False, markup=False, style="bold")
    for line in notes(sweep):
        stdout.print(f"- {line}", highlight=False, markup=False)


def print_json(value: Any) -> None:
    """Anything that msgspec can encode, on stdout."""
    print(msgspec.json.encode(value).decode())


def show_path(what: str, path: Path) -> None:
    """Where something was written."""
    note(f"{what}: {path}")
