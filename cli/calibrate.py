"""The command that learns how long steps take: `calibrate`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..csrc import parse_policy
from ..errors import InvalidScenario, OutputRefused
from ..experiment import Experiment, Limits, geometry_of
from ..records import command_line, run_folders, versions
from ..workloads import DEFAULT_DEVICE, RequestLog, load_model, parse_bytes
from . import terminal
from .help import examples, option
from .options import RESULTS, AttentionOption, ForceOption, Options, output_option, with_some_options
from .outputs import check_output
from .request_log import (
    LIKE_VLLM,
    SHARED,
    LogColumnsOption,
    LogOption,
    LogPolicyOption,
    LogUnitOption,
    read_log,
)
from .tables.profiles import show_profile

if TYPE_CHECKING:
    from ..sim.fitting.measured_steps import MeasuredSteps
    from ..sim.step_time.profile import Profile

EXAMPLES = examples(
    "warpgroup calibrate --model qwen2.5-7b -o profile.json",
    "warpgroup calibrate --log requests.csv --model llama-3.1-8b -o profile.json",
)
_MEASURED = "Steps that were measured before"
_POOR_FIT = 0.2


@with_some_options(
    *SHARED,
    helps={
        "model": "The model to measure, or that the engine of --log runs: one of `warpgroup models`, or a Hugging Face "
        "folder.",
        "device": "Where to measure: auto (default), cuda, cuda:N or cpu. With --log: a device of `warpgroup devices`, "
        f"default {DEFAULT_DEVICE}.",
    },
)
def calibrate_command(
    *,
    options: Options,
    attention: AttentionOption = "auto",
    runs: Annotated[
        list[Path] | None,
        option(
            panel=_MEASURED,
            metavar="FOLDER",
            help="Learn from finished replays: run folders, or folders of them. No device is needed. Repeatable.",
        ),
    ] = None,
    steps: Annotated[
        list[Path] | None,
        option(
            panel=_MEASURED,
            metavar="FILE",
            help="Learn from steps that --save-steps wrote; can be combined with --runs. Repeatable.",
        ),
    ] = None,
    save_steps: Annotated[
        Path | None, option(panel=RESULTS, metavar="FILE", help="Also write the measured steps to a Parquet file.")
    ] = None,
    log: LogOption = None,
    columns: LogColumnsOption = None,
    time_unit: LogUnitOption = None,
    policy: LogPolicyOption = None,
    output: Annotated[Path, output_option("The profile to write, as JSON.")],
    force: ForceOption = False,
) -> None:
    """Learn how long steps take, and write a profile for the option --profile.

    By default, about 300 kinds of steps are measured on the device with the engine of `replay`, in about two minutes.
    With --runs, --steps or --log, nothing is measured.
    """
    check_output(output, "-o", ".json", force=force)
    check_output(save_steps, "--save-steps", ".parquet", force=force)
    if log is not None:
        if runs or steps or save_steps or attention != "auto":
            raise InvalidScenario("a log has no steps: leave out --runs, --steps, --save-steps and --attention")
        fitted = _profile_of_log(*read_log(log, columns, time_unit, options), policy)
    elif columns or time_unit or policy:
        raise InvalidScenario("--columns, --time-unit and --policy describe a --log, which is missing")
    else:
        fitted = _profile_of_steps(_measured(options, attention, runs or [], steps or []), save_steps)
    try:
        fitted.save(output)
    except OSError as error:
        raise OutputRefused(f"cannot write {output}: {error.strerror}") from None
    show_profile(fitted)
    terminal.show_path("profile", output)


def _measured(options: Options, attention: str, runs: list[Path], steps: list[Path]) -> "MeasuredSteps":
    from ..sim.fitting.measured_steps import join_steps, read_steps, steps_of_run

    if runs or steps:
        if options != Options():
            raise InvalidScenario("--runs and --steps say what was run: leave out --model and the limits")
        found = [steps_of_run(folder) for path in runs for folder in run_folders(path)]
        return join_steps(found + [read_steps(path) for path in steps])
    if options.model is None:
        raise InvalidScenario(
            "--model is missing: `warpgroup models` lists them; or learn from --runs, --steps or --log"
        )
    if options.kv_blocks or options.kv_budget_tokens or options.max_new_tokens:
        raise InvalidScenario("--kv-blocks, --kv-budget-tokens and --max-new-tokens describe a --log: leave them out")
    return _on_device(options.model, options, attention)


def _on_device(model: str, options: Options, attention: str) -> "MeasuredSteps":
    from .. import runtime
    from ..sim.fitting.measured_steps import MeasuredSteps, StepSource

    spec = load_model(model)
    machine = runtime.open_machine(options.device or "auto")
    backend = runtime.choose_attention(attention, machine, spec)
    with terminal.progress() as bars:
        task = bars.add_task("grid", total=None, doing="opening")
        measured = runtime.calibrate(
            spec,
            machine,
            attention=backend,
            limits=_limits(options),
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


def _limits(options: Options) -> Limits:
    return Limits(
        vram_bytes=parse_bytes(options.vram) if options.vram else 0,
        block_tokens=options.block_tokens or 16,
        max_seqs=options.max_seqs or 0,
        step_tokens=options.step_tokens or 0,
    )


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
            parse_policy(policy or LIKE_VLLM),
            on_round=lambda done, of: bars.update(task, completed=done, total=of, doing="fitting"),
        )
        bars.update(task, completed=1, total=1, doing="done")
    if (off := fitted.error["all"].median) > _POOR_FIT:
        terminal.note(
            f"the median error of the times is {off:.0%}: are --policy, --device and the limits those of the engine?"
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
