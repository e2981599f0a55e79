"""The commands of the gate: has this change made anything worse?"""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
import typer

from ..csrc import pack, packing_algorithms, parse_policy
from ..errors import InvalidScenario, OutputRefused, WarpGroupError
from ..experiment import Experiment
from ..records import Run, command_line, run_folders
from ..records.metrics import good_mask, makespan_ns
from . import terminal
from .experiments import experiment_from
from .options import Options
from .tables.gates import show_certification, show_detectable

if TYPE_CHECKING:
    from ..reports.gate.config import ExactClass
    from ..reports.gate.exact import Figures
    from ..reports.gate.result import GateResult
    from ..reports.gate.run import Gate

_T = TypeVar("_T")

app = typer.Typer(
    help="Has a change made anything worse? Exit codes: 0 no, 1 something regressed or changed, 2 wrong usage, 3 noise "
    "hid it, 4 something is missing or broke.",
    no_args_is_help=True,
)

_ConfigOption = Annotated[Path, typer.Option(help="What is gated: a TOML file; what it names lies beside it.")]
_BuildsOption = Annotated[
    Path | None,
    typer.Option(help="Folder for what is built. Default: build/gate of the repository.", show_default=False),
]
_OnlyOption = Annotated[
    str | None, typer.Option(help="Some classes: exact, counted, timed; comma-separated.", show_default=False)
]
_BaseOption = Annotated[str, typer.Option(help="What it is compared with: where the present commit left it.")]
_DEFAULT_CONFIG = Path("perf-gate.toml")


def _output(help: str) -> Any:
    return typer.Option(help=help, show_default=False)


@app.command()
def run(
    config: _ConfigOption = _DEFAULT_CONFIG,
    base: _BaseOption = "main",
    only: _OnlyOption = None,
    budget: Annotated[
        float | None, typer.Option(help="Seconds for what is timed. Default: the configuration's.", min=1)
    ] = None,
    html: Annotated[Path | None, _output("Write a page, with the history if there is one.")] = None,
    junit: Annotated[Path | None, _output("Write JUnit XML.")] = None,
    markdown: Annotated[
        Path | None, _output("Append Markdown: for $GITHUB_STEP_SUMMARY, or for a comment on a pull request.")
    ] = None,
    annotations: Annotated[bool, typer.Option("--annotations", help="Print GitHub's workflow commands too.")] = False,
    json: Annotated[Path | None, _output("Write the whole result.")] = None,
    history: Annotated[Path | None, _output("A Parquet file of past results, to which this one is added.")] = None,
    builds: _BuildsOption = None,
) -> None:
    """Gate the working tree: simulated figures, the core's instructions, CPU or GPU time beside the base's."""
    from ..reports.gate.console import show
    from ..reports.gate.run import run_gate

    _refuse_unwritable(html, junit, markdown, json, history)
    with terminal.progress() as bars:
        task = bars.add_task("gate", total=None, doing="reading")
        gate = _gate(config, base, only, builds, lambda text: bars.update(task, doing=text), wary=True)
        if budget is not None:
            gate = replace(gate, config=msgspec.structs.replace(gate.config, budget_s=budget))
        result = _known(lambda: run_gate(gate))
        bars.update(task, total=1, completed=1, doing="done")
    show(result, terminal.stdout)
    _write(result, html=html, junit=junit, markdown=markdown, json=json, history=history)
    if annotations:
        from ..reports.gate.annotations import annotations as commands_of

        for command in commands_of(result):
            print(command)
    raise typer.Exit(result.exit_code)


@app.command()
def accept(
    reason: Annotated[str, typer.Option(help="Why; it is kept beside the figures.", show_default=False)],
    config: _ConfigOption = _DEFAULT_CONFIG,
    only: _OnlyOption = None,
    builds: _BuildsOption = None,
) -> None:
    """Measure the exact and counted figures of the working tree, list its benchmarks, and make them the baseline."""
    from ..reports.gate.accept import accept as accept_all

    with terminal.progress() as bars:
        task = bars.add_task("accept", total=None, doing="reading")
        gate = _gate(config, "HEAD", only, builds, lambda text: bars.update(task, doing=text))
        changed = _known(lambda: accept_all(gate, reason))
        bars.update(task, total=1, completed=1, doing="done")
    for line in changed[:20]:
        terminal.note(line)
    terminal.note(f"{gate.baseline}: review the difference, and commit it" if changed else "nothing has changed")


@app.command()
def calibrate(
    config: _ConfigOption = _DEFAULT_CONFIG,
    launches: Annotated[int, typer.Option(help="Of the working tree against itself.", min=16)] = 64,
    builds: _BuildsOption = None,
) -> None:
    """Measure this machine's noise, and the smallest slow-down that it can show at 1 % false alarms.

    `gate run` refuses thresholds below that, for as long as the file in the builds folder is there.
    """
    from ..reports.gate.proof import calibrate as measure

    with terminal.progress() as bars:
        task = bars.add_task("calibrate", total=launches, doing="building")
        gate = _gate(config, "HEAD", None, builds, lambda text: bars.update(task, doing=text))
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            bars.update(task, completed=done, doing="timing")

        found = _known(lambda: measure(gate, launches, on_launch=step))
    show_detectable(found, gate.config)
    terminal.show_path("calibration", gate.calibration)


@app.command()
def certify(
    output: Annotated[Path, typer.Option("--output", "-o", help="The JSON file to write.", show_default=False)],
    config: _ConfigOption = _DEFAULT_CONFIG,
    benchmark: Annotated[str, typer.Option(help="The one that the gates decide on.")] = "bench_gate.py::test_pack[ffd]",
    same: Annotated[int, typer.Option(help="Gates of a build against itself.", min=0)] = 300,
    slowed: Annotated[int, typer.Option(help="Gates of a build that is slower on purpose.", min=0)] = 100,
    loaded: Annotated[int, typer.Option(help="Gates of a build against itself beside busy cores.", min=0)] = 30,
    slower: Annotated[int, typer.Option(help="By how many percent the slowed build packs more.", min=5, max=50)] = 5,
    builds: _BuildsOption = None,
) -> None:
    """Prove the gate on this machine: how often it cries wolf, and how often it sees a real slow-down.

    What was done is kept beside the output (.jsonl), and is not done again. Exit code 1: more than 1 % false alarms or
    slow-downs missed, or a false alarm under load.
    """
    from ..reports.gate.proof import certify as prove

    wanted = (same, slowed, loaded)
    with terminal.progress() as bars:
        task = bars.add_task("certify", total=sum(wanted), doing="building")
        gate = _gate(config, "HEAD", None, builds, lambda text: bars.update(task, doing=text))
        found = _known(
            lambda: prove(
                gate,
                benchmark,
                wanted,
                output,
                slower_percent=slower,
                on_gate=lambda done: bars.update(task, completed=done, doing="gating"),
            )
        )
    show_certification(found)
    terminal.show_path("certification", output)
    raise typer.Exit(0 if found.holds else 1)


@app.command()
def trend(
    history: Annotated[Path, typer.Option(help="A Parquet file of past results.", show_default=False)],
    runs: Annotated[
        list[Path] | None, typer.Option(help="Finished replays to add first. Repeatable.", show_default=False)
    ] = None,
    html: Annotated[Path | None, _output("Write a page.")] = None,
) -> None:
    """Look for change points in the history of replays on a GPU; they are reported and never block."""
    from ..reports.gate.console import show
    from ..reports.gate.history import append, read_history
    from ..reports.gate.page import write_gate_page
    from ..reports.gate.trend import points_of_run, trend_result

    now = datetime.now(UTC).isoformat(timespec="seconds")
    for path in runs or []:
        for folder in run_folders(path):
            append(history, points_of_run(folder, date=now))
    result = trend_result(history, now=now)
    if html:
        write_gate_page(result, read_history(history), html)
    show(result, terminal.stdout)


def _gate(
    config: Path, base: str, only: str | None, built: Path | None, say: Callable[[str], None], *, wary: bool = False
) -> "Gate":
    """`wary`: thresholds below what this machine was found to show are to be refused."""
    from ..reports.gate.builds import root_of
    from ..reports.gate.config import read_config
    from ..reports.gate.proof import read_detectable
    from ..reports.gate.result import Kind
    from ..reports.gate.run import Gate, rule_of

    read = read_config(config)
    kinds = [Kind.EXACT.value, Kind.COUNTED.value, Kind.TIMED.value]
    names = only.split(",") if only else []
    if unknown := [name for name in names if name not in kinds]:
        raise InvalidScenario(f"--only {unknown[0]}: expected some of {', '.join(kinds)}")
    folder = (built or _known(lambda: root_of(config)) / "build" / "gate").resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputRefused(f"cannot write to {folder}: {error.strerror}; choose another --builds") from None
    gate = Gate(
        config=read,
        path=config.resolve(),
        builds=folder,
        measure_exact=_simulated,
        base=base,
        only=[Kind(name) for name in names],
        command=command_line(),
        say=say,
    )
    if wary and read.timed:
        return replace(gate, detectable=read_detectable(gate.calibration, rule_of(read)))
    return gate


def _known(measure: Callable[[], _T]) -> _T:
    """What was measured; where nothing can be known, whatever went wrong, a line and exit code 4."""
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


def _simulated(wanted: "ExactClass", folder: Path) -> "Figures":
    """The figures of every scenario under every policy, and of packing its requests."""
    from ..sim import AnalyticStepTime, simulate

    figures: Figures = {}
    for name in wanted.scenarios:
        beside = folder / name
        options = Options(scenario=str(beside) if beside.exists() else name)
        experiment, _ = experiment_from(options, first=wanted.requests)
        figures[f"{name}: packing"] = _packed(experiment)
        step_time = AnalyticStepTime(experiment.memory.geometry, experiment.device)
        for text in wanted.policies:
            policy = parse_policy(text)
            figures[f"{name}: {policy}"] = _figures_of(simulate(experiment, policy, step_time=step_time))
    return figures


def _packed(experiment: Experiment) -> dict[str, int | str]:
    """Bins that the requests' peaks take of the KV pool's tenth, by algorithm."""
    trace, memory = experiment.trace, experiment.memory
    peaks = trace.prompt_tokens + trace.output_tokens
    capacity = max(memory.pool_blocks * memory.block_tokens // 10, int(peaks.max()))
    return {f"bins, {name}": pack(peaks, capacity, name).num_bins for name in packing_algorithms()}


def _figures_of(run: Run) -> dict[str, int | str]:
    """Whole numbers alone, the same on every machine; the plans' hash stands for all decisions."""
    r, summary = run.requests, run.info.summary
    return {
        "makespan_ns": makespan_ns(run),
        "good requests": int(good_mask(run).sum()),
        **{name: int(summary[name]) for name in ("finished", "rejected", "failed", "ooms", "preemptions")},
        "peak_vram_bytes": int(summary["peak_vram_bytes"]),
        "recomputed_tokens": int(r["recomputed_tokens"].sum()),
        "plan_hash": run.info.plan_hash,
    }


def _refuse_unwritable(*paths: Path | None) -> None:
    """Before anything is measured."""
    for path in paths:
        if path and (path.is_dir() or not path.parent.is_dir()):
            raise OutputRefused(f"cannot write {path}: its folder is not there, or it is one")


def _write(
    result: "GateResult",
    *,
    html: Path | None = None,
    junit: Path | None = None,
    markdown: Path | None = None,
    json: Path | None = None,
    history: Path | None = None,
) -> None:
    """Every output that was asked for. Raises OutputRefused."""
    from ..reports.gate import history as past
    from ..reports.gate.junit import junit_xml
    from ..reports.gate.markdown import COMMENT_BYTES, SUMMARY_BYTES
    from ..reports.gate.markdown import markdown as as_markdown
    from ..reports.gate.page import write_gate_page

    try:
        if junit:
            junit.write_bytes(junit_xml(result))
        if markdown:
            with markdown.open("a", encoding="utf-8") as file:  # GitHub's summary is one file for all steps
                is_summary = str(markdown) == os.environ.get("GITHUB_STEP_SUMMARY")
                file.write(as_markdown(result, limit_bytes=SUMMARY_BYTES if is_summary else COMMENT_BYTES))
        if json:
            result.save(json)
    except OSError as error:
        raise OutputRefused(f"cannot write {error.filename}: {error.strerror}") from None
    if history:
        past.append(history, result)
    if html:
        write_gate_page(result, past.read_history(history) if history else [], html)
