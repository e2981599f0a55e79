"""The commands of `warpgroup gate`: did a change make anything worse?"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
import typer

from ..csrc import parse_policy
from ..errors import WarpGroupError
from ..records import run_folders
from . import terminal
from .experiments import experiment_from
from .help import examples, option
from .options import Options
from .outputs import check_output, check_suffix
from .tables.gates import show_certification, show_detectable

if TYPE_CHECKING:
    from ..reports.gate.baseline import Figures
    from ..reports.gate.gate import Gate

_T = TypeVar("_T")

app = typer.Typer(
    help="Did a change make anything worse? Exit codes: 0 no; 1 something regressed or changed; 2 wrong usage; 3 the "
    "measurement was too noisy to tell; 4 something is missing or broken.",
    no_args_is_help=True,
)

_GATED, _OUTPUTS, _TRIALS = "What is gated", "Outputs", "Trials"


_HTML, _MARKDOWN = (".html", ".htm"), (".md", ".markdown")


def _option(panel: str, help: str, *names: str, metavar: str = "FILE", **more: Any) -> Any:
    return option(*names, help=help, panel=panel, metavar=metavar, **more)


_ConfigOption = Annotated[
    Path,
    _option(_GATED, "TOML file that says what is gated; its paths are relative to it.", show_default=True),
]
_BuildsOption = Annotated[
    Path | None, _option(_GATED, "Folder for builds. Default: build/gate in the repository.", metavar="FOLDER")
]
_OnlyOption = Annotated[
    str | None, _option(_GATED, "Comma-separated classes, such as exact,counted. Default: all.", metavar="NAMES")
]
_BaseOption = Annotated[
    str,
    _option(
        _GATED,
        "Branch or commit to compare with; the gate takes the last common commit.",
        metavar="COMMIT",
        show_default=True,
    ),
]
_DEFAULT_CONFIG = Path("perf-gate.toml")


@app.command(
    "run",
    epilog=examples(
        "warpgroup gate run --config tests/benchmarks/perf-gate.toml --base main",
        "warpgroup gate run --only exact,counted --junit gate.xml --html gate.html",
    ),
)
def gate_run_command(
    config: _ConfigOption = _DEFAULT_CONFIG,
    base: _BaseOption = "main",
    only: _OnlyOption = None,
    budget: Annotated[
        float | None,
        _option(_GATED, "Seconds for all timed benchmarks. Default: budget_s of the file.", metavar="SECONDS", min=1),
    ] = None,
    html: Annotated[Path | None, _option(_OUTPUTS, "Write a page; with --history it also shows past gates.")] = None,
    junit: Annotated[Path | None, _option(_OUTPUTS, "Write JUnit XML.")] = None,
    markdown: Annotated[
        Path | None,
        _option(_OUTPUTS, "Append Markdown, for $GITHUB_STEP_SUMMARY or for a comment on a pull request."),
    ] = None,
    annotations: Annotated[
        bool, _option(_OUTPUTS, "Also print GitHub's workflow commands.", "--annotations", metavar="")
    ] = False,
    json: Annotated[Path | None, _option(_OUTPUTS, "Write the whole result as JSON.")] = None,
    history: Annotated[
        Path | None, _option(_OUTPUTS, "Parquet file of past results; this result is added to it.")
    ] = None,
    builds: _BuildsOption = None,
) -> None:
    """Gate the working tree: simulated figures, instructions of the core, CPU or GPU time beside the base."""
    from ..reports.gate.outputs.annotations import annotation_commands
    from ..reports.gate.outputs.console import print_result
    from ..reports.gate.outputs.write import OutputFiles
    from ..reports.gate.run import run_gate

    files = OutputFiles(html=html, junit=junit, markdown=markdown, json=json, history=history)
    for path, name, suffixes in (
        (html, "--html", _HTML),
        (junit, "--junit", (".xml",)),
        (markdown, "--markdown", _MARKDOWN),
        (json, "--json", (".json",)),
        (history, "--history", (".parquet",)),
    ):
        check_suffix(path, name, *suffixes)
    files.refuse_unwritable()
    with terminal.progress() as bars:
        task = bars.add_task("gate", total=None, doing="reading")
        gate = _opened(config, base=base, only=only, builds=builds, say=lambda text: bars.update(task, doing=text))
        if budget is not None:
            gate = replace(gate, config=msgspec.structs.replace(gate.config, budget_s=budget))
        result = _or_broken(lambda: run_gate(gate))
        bars.update(task, total=1, completed=1, doing="done")
    print_result(result, terminal.stdout)
    files.write(result)
    for command in annotation_commands(result) if annotations else []:
        print(command)
    raise typer.Exit(result.exit_code)


@app.command(
    "accept",
    epilog=examples(
        "warpgroup gate accept --only counted --reason 'plans are shorter'",
        "warpgroup gate accept --only exact --reason 'skyline admits earlier'",
    ),
)
def gate_accept_command(
    reason: Annotated[str, _option(_GATED, "Why the figures may change; kept beside them.", metavar="TEXT")],
    config: _ConfigOption = _DEFAULT_CONFIG,
    only: _OnlyOption = None,
    builds: _BuildsOption = None,
) -> None:
    """Make the working tree the baseline: exact and counted figures, and the list of timed benchmarks."""
    from ..reports.gate.accept import accept_baseline

    with terminal.progress() as bars:
        task = bars.add_task("accept", total=None, doing="reading")
        gate = _opened(config, only=only, builds=builds, say=lambda text: bars.update(task, doing=text))
        changed = _or_broken(lambda: accept_baseline(gate, reason))
        bars.update(task, total=1, completed=1, doing="done")
    for line in changed[:20]:
        terminal.note(line)
    if len(changed) > 20:
        terminal.note(f"{len(changed) - 20:,} more changes are in {gate.baseline / 'accepted.json'}")
    terminal.note(f"{gate.baseline}: review the difference, and commit it" if changed else "nothing has changed")


@app.command(
    "calibrate",
    epilog=examples(
        "warpgroup gate calibrate --config tests/benchmarks/perf-gate.toml",
        "warpgroup gate calibrate --launches 128",
    ),
)
def gate_calibrate_command(
    config: _ConfigOption = _DEFAULT_CONFIG,
    launches: Annotated[
        int, _option(_TRIALS, "Launches of the working tree against itself.", metavar="N", min=16, show_default=True)
    ] = 64,
    builds: _BuildsOption = None,
) -> None:
    """Measure the noise of this machine, and the smallest slow-down that it detects at 1 % false alarms.

    While the file of this calibration is in the builds folder, `gate run` refuses thresholds below that.
    """
    from ..reports.gate.classes.timed.calibration import calibration_file
    from ..reports.gate.classes.timed.noise import measure_noise
    from ..reports.gate.classes.timed.timed_class import timing_rule

    with terminal.progress() as bars:
        task = bars.add_task("calibrate", total=launches, doing="building")
        gate = _opened(config, builds=builds, say=lambda text: bars.update(task, doing=text))
        found = _or_broken(
            lambda: measure_noise(gate, launches, on_launch=lambda: bars.update(task, advance=1, doing="timing"))
        )
    show_detectable(found, timing_rule(gate.config))
    terminal.show_path("calibration", calibration_file(gate))


@app.command(
    "certify",
    epilog=examples(
        "warpgroup gate certify --config perf-gate.toml -o certificate.json",
        "warpgroup gate certify --same 30 --slowed 10 --loaded 0 -o certificate.json",
    ),
)
def gate_certify_command(
    output: Annotated[Path, _option(_OUTPUTS, "JSON file to write.", "--output", "-o")],
    config: _ConfigOption = _DEFAULT_CONFIG,
    benchmark: Annotated[
        str, _option(_TRIALS, "Name of the benchmark to decide on.", metavar="NAME", show_default=True)
    ] = "bench_gate.py::test_pack[ffd]",
    same: Annotated[
        int, _option(_TRIALS, "Trials of a build against itself.", metavar="N", min=0, show_default=True)
    ] = 300,
    slowed: Annotated[
        int,
        _option(_TRIALS, "Trials against a build that is slower on purpose.", metavar="N", min=0, show_default=True),
    ] = 100,
    loaded: Annotated[
        int,
        _option(
            _TRIALS, "Trials of a build against itself while all cores are busy.", metavar="N", min=0, show_default=True
        ),
    ] = 30,
    slower: Annotated[
        int,
        _option(
            _TRIALS, "Percent of packing that the slower build adds.", metavar="N", min=5, max=50, show_default=True
        ),
    ] = 5,
    builds: _BuildsOption = None,
) -> None:
    """Measure how often the timed class is wrong on this machine: false alarms, and missed slow-downs.

    Trials are kept in a file beside the output (.jsonl) and are not repeated. Exit code 1: more than 1 % of the
    decisions are wrong, or there is a false alarm under load.
    """
    from ..reports.gate.classes.timed.certification import certify_gate

    check_output(output, "-o", ".json", force=True)  # an earlier certificate is replaced
    wanted = (same, slowed, loaded)
    with terminal.progress() as bars:
        task = bars.add_task("certify", total=sum(wanted), doing="building")
        gate = _opened(config, builds=builds, say=lambda text: bars.update(task, doing=text))

        def on_trial(done: int) -> None:
            bars.update(task, completed=done, doing="deciding")

        found = _or_broken(
            lambda: certify_gate(gate, benchmark, wanted, output, slower_percent=slower, on_trial=on_trial)
        )
    show_certification(found)
    terminal.show_path("certification", output)
    raise typer.Exit(0 if found.holds else 1)


@app.command(
    "trend",
    epilog=examples(
        "warpgroup gate trend --history gate.parquet --html trend.html",
        "warpgroup gate trend --history gate.parquet --runs warpgroup-runs/001",
    ),
)
def gate_trend_command(
    history: Annotated[Path, _option(_GATED, "Parquet file of past results.")],
    runs: Annotated[
        list[Path] | None, _option(_GATED, "Finished replays to add first. Repeatable.", metavar="FOLDER")
    ] = None,
    html: Annotated[Path | None, _option(_OUTPUTS, "Write a page.")] = None,
) -> None:
    """Look for change points in the history of GPU replays; they are reported and never fail a gate."""
    from ..reports.gate.classes.trend.change_points import trend_result
    from ..reports.gate.classes.trend.series import points_of_run
    from ..reports.gate.history import append_result, read_history
    from ..reports.gate.outputs.console import print_result
    from ..reports.gate.outputs.page import write_gate_page

    check_output(history, "--history", ".parquet", force=True)
    check_output(html, "--html", *_HTML, force=True)
    if not runs and not history.exists():
        terminal.error(f"there is no history {history}: `warpgroup gate run --history` writes one, or give --runs")
        raise typer.Exit(4)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for path in runs or []:
        for folder in run_folders(path):
            append_result(history, points_of_run(folder, date=now))
    result = trend_result(history, now=now)
    if html:
        write_gate_page(result, read_history(history), html)
    print_result(result, terminal.stdout)


def _opened(config: Path, **given: Any) -> "Gate":
    from ..reports.gate.open_gate import open_gate

    return _or_broken(lambda: open_gate(config, simulate_figures=_simulate_figures, **given))


def _or_broken(measure: Callable[[], _T]) -> _T:
    """What `measure` returns. If the gate itself fails: one line, and exit code 4."""
    from ..reports.gate.broken import Broken

    try:
        return measure()
    except Broken as broken:
        terminal.error(str(broken))
    except (WarpGroupError, typer.Exit):
        raise
    except Exception as error:
        terminal.error(f"the gate itself failed: {type(error).__name__}: {error}")
    raise typer.Exit(4) from None


def _simulate_figures(scenarios: Sequence[str], policies: Sequence[str], *, requests: int, folder: Path) -> "Figures":
    """The figures of every scenario under every policy, and of packing its requests."""
    from ..reports.gate.classes.exact import figures_of_packing, figures_of_run
    from ..sim import AnalyticStepTime, simulate

    figures: Figures = {}
    for name in scenarios:
        file = folder / name
        experiment, _ = experiment_from(Options(scenario=str(file) if file.exists() else name), first=requests)
        figures[f"{name}: packing"] = figures_of_packing(experiment)
        step_time = AnalyticStepTime(experiment.memory.geometry, experiment.device)
        for text in policies:
            policy = parse_policy(text)
            figures[f"{name}: {policy}"] = figures_of_run(simulate(experiment, policy, step_time=step_time))
    return figures
