"""The commands that make a simulation trustworthy, and say how far it is: `calibrate`."""

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from . import terminal
from .errors import DeviceUnavailable, InvalidProfile, InvalidScenario, OutputRefused
from .experiment import Limits, geometry_of
from .records import Columns, Run, read_run, run_folders, versions
from .workloads import ModelSpec, load_model, parse_bytes

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
    save_steps: Annotated[
        Path | None, typer.Option(help="Keep the measured steps in a Parquet file.", show_default=False)
    ] = None,
    force: _ForceOption = False,
) -> None:
    """Measure how long steps take, or learn it from finished replays, and write a profile for `--profile`.

    On a device this drives the engine of `replay` through about 300 kinds of steps, in about two minutes.
    """
    from .sim.calibration import fit
    from .sim.profile import SCHEMA, Profile

    _refuse_existing(output, force=force)
    if runs:
        if model:
            raise InvalidScenario("--runs takes the model from the runs: leave --model out")
        measured, row_sizes, spec, told = _from_runs(
            [read_run(folder) for path in runs for folder in run_folders(path)]
        )
    elif model:
        spec = load_model(model)
        measured, row_sizes, told = _on_device(spec, device, attention, vram)
    else:
        raise InvalidScenario("--model is missing: `warpgroup models` lists them; or --runs, to learn from replays")
    if save_steps is not None:
        _write_steps(save_steps, measured)
    fitted = fit(measured, geometry_of(spec), row_sizes)
    profile = Profile(
        schema=SCHEMA,
        model=spec.name,
        date=datetime.now(UTC).date().isoformat(),
        command=shlex.join(["warpgroup", *sys.argv[1:]]),
        rates=fitted.rates,
        corrections=fitted.corrections,
        error=fitted.error,
        **told,
    )
    try:
        profile.save(output)
    except OSError as error:
        raise OutputRefused(f"cannot write {output}: {error.strerror}") from None
    terminal.show_profile(profile)
    terminal.show_path("profile", output)


def _from_runs(runs: list[Run]) -> tuple[Columns, list[int], ModelSpec, dict[str, Any]]:
    """Their steps one after another, and what they were made of: the same for all."""
    first = runs[0].info
    for run in runs:
        info = run.info
        if info.kind != "real" or info.machine is None:
            raise InvalidProfile(f"a {info.kind} run of {info.policy}: only replays have measured steps")
        if info.scenario.inputs is None:
            raise InvalidProfile("a run of a version that did not record its model: replay it again")
        assert first.machine is not None
        for what, mine, firsts in (
            ("models", info.scenario.model, first.scenario.model),
            ("devices", info.machine.device, first.machine.device),
            ("attention backends", info.machine.attention, first.machine.attention),
        ):
            if mine != firsts:
                raise InvalidProfile(f"runs of different {what}, {firsts} and {mine}: fit to one at a time")
    assert first.machine is not None
    assert first.scenario.inputs is not None
    names = [name for name in runs[0].steps if all(name in run.steps for run in runs)]
    return (
        {name: np.concatenate([run.steps[name] for run in runs]) for name in names},
        max((run.info.machine.graph_rows for run in runs if run.info.machine), key=len),
        first.scenario.inputs.model,
        {
            "device": first.scenario.device,
            "attention": first.machine.attention,
            "source": f"{len(runs)} replays of {', '.join(sorted({run.info.scenario.name for run in runs}))}",
            "versions": first.versions,
        },
    )


def _on_device(
    spec: ModelSpec, device: str, attention: str, vram: str | None
) -> tuple[Columns, list[int], dict[str, Any]]:
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
    return (
        measured.steps,
        measured.row_sizes,
        {
            "device": machine.spec.name,
            "attention": backend.name,
            "source": f"grid of {len(measured.steps['duration_ns'])} steps on {machine.name}",
            "versions": versions("torch", "triton", "flash-attn"),
        },
    )


def _write_steps(path: Path, steps: Columns) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        pq.write_table(pa.table(steps), path, compression="zstd")
    except OSError as error:
        raise OutputRefused(f"cannot write {path}: {error.strerror or error}") from None


def _refuse_existing(path: Path, *, force: bool) -> None:
    if path.exists() and not force:
        raise OutputRefused(f"{path} exists: choose another -o, or --force to overwrite it")
    if not path.parent.is_dir():
        raise OutputRefused(f"{path.parent} is not a folder: create it, or choose another -o")
