"""The commands that make a simulation trustworthy, and say how far it is: `calibrate` and `validate`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..csrc import parse_policy
from ..errors import DeviceUnavailable, InvalidProfile, InvalidRun, InvalidScenario, OutputRefused
from ..experiment import Experiment, Limits, geometry_of
from ..records import command_line, read_run, refuse_existing, run_folders, versions
from ..workloads import RequestLog, columns_given, load_model, parse_bytes, read_request_log
from . import terminal
from .options import Options, experiment_from, with_some_options

if TYPE_CHECKING:
    from ..reports import Validation
    from ..sim import StepTime
    from ..sim.fitting.measured_steps import MeasuredSteps
    from ..sim.step_time.profile import Profile

_OutputOption = Annotated[Path, typer.Option("--output", "-o", help="The file to write.", show_default=False)]
_ForceOption = Annotated[bool, typer.Option("--force", help="Write even where something is already.")]
_LogOption = Annotated[
    Path | None,
    typer.Option(
        help="Or what another engine logged of its requests (CSV, .jsonl or .parquet): input and output tokens, "
        "arrival, first and last token. Say with the options below what it ran: vLLM's num_gpu_blocks is --kv-blocks, "
        "max_num_seqs --max-seqs, max_num_batched_tokens --step-tokens.",
        show_default=False,
    ),
]
_ColumnsOption = Annotated[
    str | None,
    typer.Option(
        help="Of --log, where its columns have other names: input=NAME,output=NAME,arrival=NAME,first=NAME,last=NAME; "
        "or ttft and e2e, counted from the arrival, for first and last.",
        show_default=False,
    ),
]
_UnitOption = Annotated[
    str | None, typer.Option("--time-unit", help="Of --log: s (default), ms, us or ns.", show_default=False)
]
_PolicyOption = Annotated[
    str | None,
    typer.Option(help="Of --log: how the engine batches. Default: paged, which is like vLLM.", show_default=False),
]
_LIKE_VLLM = "paged"
_POOR_FIT = 0.2
_OF_A_LOG = (
    *("model", "device", "max_new_tokens", "vram", "kv_budget_tokens"),
    *("kv_blocks", "block_tokens", "max_seqs", "step_tokens"),
)


@with_some_options(*_OF_A_LOG)
def calibrate(
    *,
    options: Options,
    output: _OutputOption,
    attention: Annotated[str, typer.Option(help="As in `replay`.")] = "auto",
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
    log: _LogOption = None,
    columns: _ColumnsOption = None,
    time_unit: _UnitOption = None,
    policy: _PolicyOption = None,
    force: _ForceOption = False,
) -> None:
    """Measure how long steps take, or learn it from finished replays or another engine's log, and write a profile for
    `--profile`.

    On a device this drives the engine of `replay` through about 300 kinds of steps, in about two minutes.
    """
    refuse_existing(output, "-o", force=force)
    if save_steps is not None:
        refuse_existing(save_steps, "--save-steps", force=force)
    if log is not None:
        if runs or steps or save_steps or attention != "auto":
            raise InvalidScenario("a log has no steps: leave --runs, --steps, --save-steps and --attention out")
        fitted = _profile_of_log(*_log_and_experiment(log, columns, time_unit, options), policy)
    elif columns or time_unit or policy:
        raise InvalidScenario("--columns, --time-unit and --policy are those of a --log, which is missing")
    else:
        fitted = _profile_of_steps(_measured(options, attention, runs or [], steps or []), save_steps)
    try:
        fitted.save(output)
    except OSError as error:
        raise OutputRefused(f"cannot write {output}: {error.strerror}") from None
    terminal.show_profile(fitted)
    terminal.show_path("profile", output)


def _measured(options: Options, attention: str, runs: list[Path], steps: list[Path]) -> "MeasuredSteps":
    from ..sim.fitting.measured_steps import join_steps, read_steps, steps_of_run

    if runs or steps:
        if options != Options():
            raise InvalidScenario("--runs and --steps say what was run: leave --model and limits out")
        found = [steps_of_run(folder) for path in runs for folder in run_folders(path)]
        return join_steps(found + [read_steps(path) for path in steps])
    if options.model is None:
        raise InvalidScenario(
            "--model is missing: `warpgroup models` lists them; or --runs, --steps or --log, to learn from what was "
            "measured"
        )
    if options.kv_blocks or options.kv_budget_tokens or options.max_new_tokens:
        raise InvalidScenario("--kv-blocks, --kv-budget-tokens and --max-new-tokens are about a --log: leave them out")
    return _on_device(options.model, options, attention)


def _profile_of_steps(measured: "MeasuredSteps", save_steps: Path | None) -> "Profile":
    from ..sim.fitting.measured_steps import write_steps
    from ..sim.fitting.step_fit import fit_profile

    if save_steps is not None:
        write_steps(save_steps, measured)
    about = measured.about
    fitted = fit_profile(measured.steps, geometry_of(about.model), about.row_sizes)
    return _profile(
        model=about.model.name,
        device=about.device,
        attention=about.attention,
        source=about.source,
        versions=about.versions,
        rates=fitted.rates,
        corrections=fitted.corrections,
        error=fitted.error,
    )


def _profile_of_log(log: RequestLog, experiment: Experiment, policy: str | None) -> "Profile":
    from ..sim.fitting.log_fit import fit_log
    from ..sim.step_time.profile import Corrections

    with terminal.progress() as bars:
        task = bars.add_task(log.trace.name, total=None, doing="simulating")
        fitted = fit_log(
            log,
            experiment,
            parse_policy(policy or _LIKE_VLLM),
            on_round=lambda done, of: bars.update(task, completed=done, total=of, doing="fitting"),
        )
        bars.update(task, completed=1, total=1, doing="done")
    if (off := fitted.error["all"].median) > _POOR_FIT:
        terminal.note(
            f"the times are off by {off:.0%} in the median: were --policy, --device and the limits the engine's?"
        )
    return _profile(
        model=experiment.model.name,
        device=experiment.device.name,
        attention="",
        source=f"{len(log.trace):,} requests of the log {log.trace.source.path}",
        versions=versions(),
        rates=fitted.rates,
        corrections=Corrections(),
        error=fitted.error,
    )


def _profile(**fields: Any) -> "Profile":
    from ..sim.step_time.profile import SCHEMA, Profile

    date = datetime.now(UTC).date().isoformat()
    return Profile(schema=SCHEMA, date=date, command=command_line(), **fields)


def _log_and_experiment(
    path: Path, columns: str | None, unit: str | None, options: Options
) -> tuple[RequestLog, Experiment]:
    """What was logged, and what the engine had."""
    if options.model is None:
        raise InvalidScenario("--log does not say which model it was: --model is missing")
    named = columns_given(columns) if columns else {}
    log = read_request_log(path, columns=named, unit=unit or "s", max_new_tokens=options.max_new_tokens)
    terminal.note_trace(log.trace)
    if not log.same_clock:
        terminal.note(
            f"{path}: arrivals and tokens were timed by different clocks: how long requests waited is not known"
        )
    return log, experiment_from(options, trace=log.trace)[0]


@with_some_options(*_OF_A_LOG)
def validate(
    *,
    options: Options,
    output: _OutputOption,
    runs: Annotated[
        list[Path] | None,
        typer.Option(help="Finished replays, run folders or folders of them. Repeatable.", show_default=False),
    ] = None,
    log: _LogOption = None,
    columns: _ColumnsOption = None,
    time_unit: _UnitOption = None,
    policy: _PolicyOption = None,
    profile: Annotated[
        str | None, typer.Option(help="As in `simulate`: what predicts the steps.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print every figure to stdout, machine-readable.")] = False,
    force: _ForceOption = False,
) -> None:
    """Simulate what was replayed, or what another engine logged, and write how far each simulated figure is off.

    Exit code 1 if a limit is missed: steps 3 % in the median and 8 % at p95, throughput and makespan 2 %, mean E2E 3 %,
    mean TTFT and the p99 (of few requests: the p90) of TTFT, TPOT and E2E 5 %, peak VRAM 1 %. Where requests came
    faster than they were served, what TTFT is off by is a share of the mean E2E: it is mostly waiting then. Of a log
    whose clocks differ, TPOT alone has a limit.
    """
    from ..reports import as_table, write_validation

    refuse_existing(output, "-o", force=force)
    if log is None and not runs:
        raise InvalidScenario("--runs or --log is missing: what simulations are to be held against")
    if log is None and (options != Options() or columns or time_unit or policy):
        raise InvalidScenario("--runs say what was run: leave --model, --policy, --columns, --time-unit and limits out")
    validations = [_validated(folder, profile) for path in runs or [] for folder in run_folders(path)]
    if log is not None:
        validations.append(_validated_log(*_log_and_experiment(log, columns, time_unit, options), policy, profile))
    write_validation(validations, output)
    if json:
        terminal.print_json(as_table(validations))
    else:
        terminal.show_validations(validations)
    terminal.show_path("validation", output)
    if any(each.missed for each in validations):
        raise typer.Exit(1)


def _validated(folder: Path, profile: str | None) -> "Validation":
    from ..records.outcome import restore
    from ..reports import validate as hold_against
    from ..sim import as_step_time, simulate
    from ..sim.fitting.step_fit import COLUMNS, step_errors
    from ..sim.step_time.profile import CalibratedStepTime

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
        measured = step_time.attention or "another engine"
        terminal.note(f"{folder} ran with {machine.attention}, the profile was measured with {measured}")
    simulated = simulate(experiment, policy, step_time=step_time, plan_ahead=bool(machine.plan_ahead))
    known = all(name in run.steps for name in COLUMNS)  # else it is of a version that recorded less
    return hold_against(run, simulated, step_errors(run.steps, step_time) if known else None)


def _validated_log(log: RequestLog, experiment: Experiment, policy: str | None, profile: str | None) -> "Validation":
    from ..reports import validate as hold_against
    from ..sim import as_step_time, simulate
    from ..sim.fitting.request_log import align_clocks, run_from_log

    step_time = as_step_time(step_time_of(profile, experiment), experiment)
    simulated = simulate(experiment, parse_policy(policy or _LIKE_VLLM), step_time=step_time, plan_ahead=True)
    real = run_from_log(align_clocks(log, simulated), simulated)
    return hold_against(real, simulated, is_wait_known=log.same_clock)


def _on_device(model: str, options: Options, attention: str) -> "MeasuredSteps":
    from ..sim.fitting.measured_steps import MeasuredSteps, StepSource

    try:
        from .. import runtime
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise DeviceUnavailable(
            "measuring needs torch, which is not installed: pip install 'warpgroup[runtime]', or give --runs"
        ) from None
    spec = load_model(model)
    machine = runtime.open_machine(options.device or "auto")
    backend = runtime.choose_attention(attention, machine, spec)
    limits = Limits(
        vram_bytes=parse_bytes(options.vram) if options.vram else 0,
        block_tokens=options.block_tokens or 16,
        max_seqs=options.max_seqs or 0,
        step_tokens=options.step_tokens or 0,
    )
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
        StepSource(
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
    from ..sim import AnalyticStepTime
    from ..sim.step_time.profile import read_profile

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
