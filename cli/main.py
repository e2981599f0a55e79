"""The `warpgroup` command. Tables go to stdout; progress, notes and errors to stderr.

Exit codes: 0 done, 1 failed or interrupted, 2 wrong usage or input.
"""

import sys
from concurrent.futures.process import BrokenProcessPool
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from ..csrc import parse_policies, parse_policy, policy_catalogue
from ..errors import DeviceUnavailable, Interrupted, InvalidScenario, OutputRefused, WarpGroupError
from ..records import RunInfo, claim_folder, command_line, fresh_folder, read_info, read_run, write_run
from ..workloads import device_names, load_device, load_model, model_names
from . import calibrate as trust
from . import compare as comparing
from . import gate as gating
from . import sweep as sweeping
from . import terminal
from . import trace as tracing
from .options import (
    ForceOption,
    JsonOption,
    Options,
    OutOption,
    ProfileOption,
    experiment_from,
    model_of,
    with_options,
    with_speed,
)

app = typer.Typer(
    help="Which batching policy should serve these requests on this GPU, and what will it give?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(tracing.trace_app, name="trace")
app.add_typer(tracing.scenario_app, name="scenarios")
app.add_typer(gating.app, name="gate")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(metadata.version("warpgroup"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command()(comparing.compare)


@app.command()
@with_options
def simulate(
    *,
    options: Options,
    policy: Annotated[
        str | None, typer.Option(help="One policy, such as paged or 'count-static(n=8)'.", show_default=False)
    ] = None,
    step_times: Annotated[
        Path | None,
        typer.Option(
            help="A replay's run folder: make its plans again from its record, with its step times, and say whether "
            "they are the same. All else is taken from there.",
            show_default=False,
        ),
    ] = None,
    profile: ProfileOption = None,
    out: OutOption = None,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Simulate one policy and write one run folder."""
    from ..sim import simulate as run_one

    if step_times is not None:
        if policy or profile or options != Options():
            raise InvalidScenario("--step-times takes policy, requests and limits from the run: give only --out")
        _follow(step_times, out, force=force, json=json)
        return
    if not policy:
        raise InvalidScenario("--policy is missing: `warpgroup policies` lists them")
    experiment, _ = experiment_from(options)
    spec = parse_policy(policy)
    experiment.scheduler(spec)
    step_time = trust.step_time_of(profile, experiment)
    folder = out or fresh_folder()
    claim_folder(folder, force=force)
    terminal.note_trace(experiment.trace)
    with terminal.progress() as progress:
        task = progress.add_task(str(spec), total=len(experiment.trace), doing="simulating")
        run = run_one(
            experiment,
            spec,
            step_time=step_time,
            command=command_line(),
            on_progress=lambda ended: progress.update(task, completed=ended) if ended % 64 == 0 else None,
        )
        ended = len(experiment.trace) - run.info.summary["aborted"]
        progress.update(task, completed=ended, doing="done" if run.info.complete else "interrupted")
    write_run(folder, run)
    if not run.info.complete:
        raise KeyboardInterrupt
    _show([run.info], json=json)
    terminal.show_path("run", folder)


def _follow(recorded: Path, out: Path | None, *, force: bool, json: bool) -> None:
    """Replay parity of one run: exit code 1 if a plan differs."""
    from ..sim import follow

    parity = follow(read_run(recorded))
    if parity.difference is not None:
        terminal.error(f"the plans of {recorded} are not those of the simulator: {parity.difference}")
        raise typer.Exit(1)
    assert parity.run is not None
    folder = out or fresh_folder()
    claim_folder(folder, force=force)
    parity.run.info.command = command_line()
    write_run(folder, parity.run)
    _show([parity.run.info], json=json)
    terminal.note(f"all {len(parity.run.steps['step']):,} plans are the same, hash {parity.run.info.plan_hash}")
    terminal.show_path("run", folder)


@app.command()
@with_options
def replay(
    *,
    options: Options,
    policy: Annotated[
        str | None, typer.Option(help="One policy, such as skyline or 'ffd(margin=0.01)'.", show_default=False)
    ] = None,
    policies: Annotated[
        str | None, typer.Option(help="Several, comma-separated: the trace is replayed under each.", show_default=False)
    ] = None,
    attention: Annotated[
        str, typer.Option(help="auto | paged | flash | torch-flash | sdpa. auto: the best that is installed.")
    ] = "auto",
    speed: Annotated[float, typer.Option(help="Arrivals come so many times faster than in the trace.")] = 1.0,
    plan_ahead: Annotated[
        int, typer.Option(help="1: each step is planned while the one before it runs; 0: after it.", min=0, max=1)
    ] = 1,
    temperature: Annotated[float, typer.Option(help="0: greedy; else tokens are drawn, by --seed.", min=0)] = 0.0,
    graphs: Annotated[bool, typer.Option(help="Run small steps as captured CUDA graphs.")] = True,
    out: OutOption = None,
    force: ForceOption = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep runs in the folder that are complete and of this experiment.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Replay a trace on a GPU, with a real model, under the same scheduler as `simulate`.

    Without weights (--model NAME) they are drawn at random: shapes, kernels and memory are the real ones. Outputs are
    as long as the trace says.
    """
    runtime = _runtime()
    machine = runtime.open_machine(options.device or "auto")
    spec, weights_folder = model_of(options)
    backend = runtime.choose_attention(attention, machine, spec)
    experiment, named = experiment_from(
        with_speed(options, speed), device=machine.spec, block_tokens=max(backend.block_multiple, 16)
    )
    runtime.require_blocks(backend, experiment.memory.block_tokens)
    if policy and policies:
        raise InvalidScenario("--policy and --policies contradict each other: give one")
    specs = [parse_policy(policy)] if policy else parse_policies(policies or ",".join(named))
    for each in specs:
        experiment.scheduler(each)
    folder = out or fresh_folder()
    claim_folder(folder, force=force, resume=resume)
    terminal.note_trace(experiment.trace)
    settings = runtime.ReplayOptions(plan_ahead=plan_ahead, command=command_line())
    missing = specs
    if resume:
        missing = runtime.missing_runs(
            experiment, specs, folder, attention=backend, temperature=temperature, options=settings
        )
    if missing:
        with terminal.replaying(len(experiment.trace)) as (say, watch):
            session = runtime.open_session(
                experiment,
                missing,
                machine,
                attention=backend,
                weights_folder=weights_folder,
                temperature=temperature,
                graphs=graphs,
                say=say,
            )
            try:
                runtime.replay_all(session, missing, folder, options=settings, on_progress=watch)
            finally:
                session.close()
    folders = [folder / each.slug for each in specs]
    if len(folders) > 1:
        _write_report(folders, folder / "report.html")
    _show([read_info(each) for each in folders], json=json)
    terminal.show_path("runs", folder)


def _runtime() -> Any:
    """The runtime, which alone needs torch."""
    try:
        from .. import runtime
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise DeviceUnavailable(
            "replay needs torch, which is not installed: pip install 'warpgroup[runtime]'"
        ) from None
    return runtime


class _Form(StrEnum):
    """What a report is written as."""

    HTML = "html"
    MD = "md"


@app.command()
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run folders, or folders of run folders.", metavar="RUN...", show_default=False),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write. Default: stdout, of Markdown.", show_default=False),
    ] = None,
    form: Annotated[
        _Form, typer.Option("--format", help="html: all of it, in one file. md: in short, for a pull request.")
    ] = _Form.HTML,
    perfetto: Annotated[
        Path | None,
        typer.Option(
            help="Write a trace of every step and request too, for ui.perfetto.dev or chrome://tracing; compressed if "
            "its name ends in .gz.",
            show_default=False,
        ),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Lay runs side by side: in one HTML file, as Markdown, or as a trace to walk through."""
    from ..reports import write_report
    from ..reports.comparison.markdown import render_markdown
    from ..reports.comparison.perfetto import write_perfetto
    from ..reports.judging.study import read_study
    from ..reports.page.page import write_page

    if output is None and perfetto is None and form is _Form.HTML:
        raise OutputRefused("there is no file to write: give -o FILE, or --format md for Markdown on stdout")
    if output is not None and output == perfetto:
        raise OutputRefused(f"-o and --perfetto are both {output}: name two files")
    for path in (output, perfetto):
        if path is not None and path.exists() and not force:
            raise OutputRefused(f"{path} exists: choose another name, or --force to overwrite it")
    study = read_study(runs)
    if perfetto is not None:
        write_perfetto(study.runs, perfetto)
        terminal.show_path("trace", perfetto)
    if form is _Form.MD and output is None:
        print(render_markdown(study), end="")
    if output is not None:
        write_page(render_markdown(study), output) if form is _Form.MD else write_report(study, output)
        terminal.show_path("report", output)


app.command()(sweeping.sweep)
app.command()(trust.calibrate)
app.command()(trust.validate)


@app.command()
def policies(json: JsonOption = False) -> None:
    """List the batching policies, what each stands for and its parameters."""
    infos = policy_catalogue()
    if json:
        terminal.print_json(
            [
                {
                    "id": info.id,
                    "stands_for": info.stands_for,
                    "parameters": {p.name: {"default": p.default, "meaning": p.meaning} for p in info.parameters},
                }
                for info in infos
            ]
        )
        return
    terminal.show_policies(infos)


@app.command()
def models(json: JsonOption = False) -> None:
    """List the model shapes."""
    specs = [load_model(name) for name in model_names()]
    if json:
        terminal.print_json(specs)
        return
    terminal.show_models(specs)


@app.command()
def devices(json: JsonOption = False) -> None:
    """List the devices and where their figures come from."""
    specs = [load_device(name) for name in device_names()]
    if json:
        terminal.print_json(specs)
        return
    terminal.show_devices(specs)


def main() -> NoReturn:
    """Run the command line. The input's faults end in one line and exit code 2."""
    try:
        app()
    except WarpGroupError as error:
        terminal.error(str(error))
        sys.exit(2)
    except Interrupted:
        terminal.error("interrupted: what was done is kept and marked incomplete; --resume continues")
        sys.exit(1)
    except BrokenProcessPool:
        terminal.error("a simulation process was killed, perhaps for lack of memory; --resume continues")
        sys.exit(1)
    sys.exit(0)


def _write_report(runs: list[Path], path: Path) -> None:
    from ..reports import write_report
    from ..reports.judging.study import read_study

    write_report(read_study(runs), path)


def _show(infos: list[RunInfo], *, json: bool) -> None:
    if json:
        terminal.print_json([info.summary | {"seed": info.seed} for info in infos])
    else:
        from ..reports import verdict

        terminal.show_runs(verdict(infos))
