"""The commands that make a simulation trustworthy, and say how far it is: `calibrate` and `validate`."""

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from . import terminal
from .errors import DeviceUnavailable, InvalidProfile, InvalidRun, InvalidScenario, OutputRefused
from .experiment import Experiment, Limits, geometry_of
from .records import read_run, run_folders, versions
from .workloads import ModelSpec, load_model, parse_bytes

if TYPE_CHECKING:
    from .reports import Validation
    from .sim import StepTime
    from .sim.measured_steps import MeasuredSteps

_OutputOption = Annotated[Path, typer.Option("--output", "-o", help="The file to write.", show_default=False)]
_ForceOption = Annotated[bool, typer.Option("--force", help="Write even where something is already.")]


def calibrate(
    *,
    output: _OutputOption,
    model: Annotated[
        str | None, typer.Option(help="See `warpgroup models`. Needed to measure on a device.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cuda, cuda:N or cpu: what to measure on.")] = "auto",
    attention: Annotated[str, typer.Option(help="As in `replay`.")] = "auto",
    vram: Annotated[
        str | None, typer.Option(help="As in `replay`: VRAM that the process may use.", show_default=False)
    ] = None,
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            help="Fit to finished replays instead, run folders or folders of them; no device is needed. Repeatable.",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        list[Path] | None,
        typer.Option(help="Fit to steps that --save-steps kept, also beside --runs. Repeatable.", show_default=False),
    ] = None,
    save_steps: Annotated[
        Path | None, typer.Option(help="Keep the measured steps in a Parquet file.", show_default=False)
    ] = None,
    force: _ForceOption = False,
) -> None:
    """Measure how long steps take, or learn it from finished replays, and write a profile for `--profile`.

    On a device this drives the engine of `replay` through about 300 kinds of steps, in about two minutes.
    """
    from .sim.calibration import fit
    from .sim.measured_steps import joined, read_steps, steps_of_run, write_steps
    from .sim.profile import SCHEMA, Profile

    _refuse_existing(output, "-o", force=force)
    if save_steps is not None:
        _refuse_existing(save_steps, "--save-steps", force=force)
    if runs or steps:
        if model:
            raise InvalidScenario("--runs and --steps say which model it is: leave --model out")
        found = [steps_of_run(folder) for path in runs or [] for folder in run_folders(path)]
        found += [read_steps(path) for path in steps or []]
    elif model:
        found = [_on_device(load_model(model), device, attention, vram)]
    else:
        raise InvalidScenario(
            "--model is missing: `warpgroup models` lists them; or --runs or --steps, to learn from what was measured"
        )
    measured = joined(found)
    if save_steps is not None:
        write_steps(save_steps, measured)
    about = measured.about
    fitted = fit(measured.steps, geometry_of(about.model), about.row_sizes)
    profile = Profile(
        schema=SCHEMA,
        model=about.model.name,
        device=about.device,
        attention=about.attention,
        source=about.source,
        versions=about.versions,
        date=datetime.now(UTC).date().isoformat(),
        command=shlex.join(["warpgroup", *sys.argv[1:]]),
        rates=fitted.rates,
        corrections=fitted.corrections,
        error=fitted.error,
    )
    try:
        profile.save(output)
    except OSError as error:
        raise OutputRefused(f"cannot write {output}: {error.strerror}") from None
    terminal.show_profile(profile)
    terminal.show_path("profile", output)


def validate(
    *,
    runs: Annotated[
        list[Path],
        typer.Option(help="Finished replays, run folders or folders of them. Repeatable.", show_default=False),
    ],
    output: _OutputOption,
    profile: Annotated[
        str | None, typer.Option(help="As in `simulate`: what predicts the steps.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print every figure to stdout, machine-readable.")] = False,
    force: _ForceOption = False,
) -> None:
    """Simulate what was replayed, and write how far each figure of the simulation is off.

    Exit code 1 if a limit is missed: steps 3 % in the median and 8 % at p95, throughput and makespan 2 %, mean E2E 3 %,
    mean TTFT and the p99 (of few requests: the p90) of TTFT, TPOT and E2E 5 %, peak VRAM 1 %.
    """
    from .reports import as_table, write_validation

    _refuse_existing(output, "-o", force=force)
    validations = [_validated(folder, profile) for path in runs for folder in run_folders(path)]
    write_validation(validations, output)
    if json:
        print(msgspec.json.encode(as_table(validations)).decode())
    else:
        terminal.show_validations(validations)
    terminal.show_path("validation", output)
    if any(each.missed for each in validations):
        raise typer.Exit(1)


def _validated(folder: Path, profile: str | None) -> "Validation":
    from .outcome import restore
    from .reports import validate as hold_against
    from .sim import as_step_time, simulate
    from .sim.calibration import COLUMNS, step_errors
    from .sim.profile import CalibratedStepTime

    run = read_run(folder)
    machine = run.info.machine
    if run.info.kind != "real" or machine is None:
        raise InvalidRun(f"{folder} is a {run.info.kind} run: only replays are held against simulations")
    if not run.info.complete:
        raise InvalidRun(f"{folder} was interrupted: replay it again, with --resume")
    if machine.degraded:
        terminal.note(f"{folder} is degraded: its requests were handed over late, which no simulation knows of")
    experiment, policy = restore(run)
    step_time = as_step_time(step_time_of(profile, experiment), experiment)
    if isinstance(step_time, CalibratedStepTime) and step_time.attention != machine.attention:
        terminal.note(f"{folder} ran with {machine.attention}, the profile was measured with {step_time.attention}")
    simulated = simulate(experiment, policy, step_time=step_time, plan_ahead=bool(machine.plan_ahead))
    known = all(name in run.steps for name in COLUMNS)  # else it is of a version that recorded less
    return hold_against(run, simulated, step_errors(run.steps, step_time) if known else None)


def _on_device(spec: ModelSpec, device: str, attention: str, vram: str | None) -> "MeasuredSteps":
    from .sim.measured_steps import About, MeasuredSteps

    try:
        from . import runtime
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise DeviceUnavailable(
            "measuring needs torch, which is not installed: pip install 'warpgroup[runtime]', or give --runs"
        ) from None
    machine = runtime.open_machine(device)
    backend = runtime.choose_attention(attention, machine, spec)
    limits = Limits(vram_bytes=parse_bytes(vram) if vram else 0)
    with terminal.progress() as bars:
        task = bars.add_task("grid", total=None, doing="opening")
        measured = runtime.calibrate(
            spec,
            machine,
            attention=backend,
            limits=limits,
            say=lambda text: bars.update(task, doing=text),
            on_point=lambda done, of: bars.update(task, completed=done, total=of, doing="measuring"),
        )
    return MeasuredSteps(
        measured.steps,
        About(
            model=spec,
            device=machine.spec.name,
            attention=backend.name,
            source=f"a grid of {len(measured.steps['duration_ns']):,} steps on {machine.name}",
            versions=versions("torch", "triton", "flash-attn"),
            row_sizes=measured.row_sizes,
        ),
    )


def step_time_of(profile: str | None, experiment: Experiment) -> "StepTime | None":
    """What --profile asks for; None: the default.

    Raises InvalidProfile: a profile that cannot be read, or is of another model.
    """
    from .sim import AnalyticStepTime
    from .sim.profile import read_profile

    if profile is None:
        return None
    if profile == "analytic":
        return AnalyticStepTime(experiment.memory.geometry, experiment.device)
    found = read_profile(Path(profile))
    if found.model != experiment.model.name:
        raise InvalidProfile(f"{profile} is of {found.model}, and {experiment.model.name} is to be run: see --model")
    if found.device != experiment.device.name:
        terminal.note(f"{profile} was measured on {found.device}, and stands for {experiment.device.name} here")
    return found.step_time()


def _refuse_existing(path: Path, option: str, *, force: bool) -> None:
    if path.exists() and not force:
        raise OutputRefused(f"{path} exists: choose another {option}, or --force to overwrite it")
    if not path.parent.is_dir():
        raise OutputRefused(f"{path.parent} is not a folder: create it, or choose another {option}")
