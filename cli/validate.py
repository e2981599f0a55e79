"""The command that checks simulations against real runs: `validate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..csrc import parse_policy
from ..errors import InvalidRun, InvalidScenario
from ..experiment import Experiment
from ..records import read_run, run_folders
from ..workloads import RequestLog
from . import terminal
from .experiments import step_time_of
from .help import examples, option
from .options import REQUESTS, ForceOption, JsonOption, Options, ProfileOption, output_option, with_some_options
from .outputs import check_output
from .request_log import (
    LIKE_VLLM,
    MODEL_HELP,
    SHARED,
    LogColumnsOption,
    LogOption,
    LogPolicyOption,
    LogUnitOption,
    read_log,
)
from .tables.profiles import show_validations

if TYPE_CHECKING:
    from ..reports import Validation

EXAMPLES = examples(
    "warpgroup validate --runs warpgroup-runs/001 -o validation.html",
    "warpgroup validate --log requests.csv --model llama-3.1-8b -o validation.html",
)


@with_some_options(*SHARED, helps={"model": MODEL_HELP})
def validate_command(
    *,
    options: Options,
    runs: Annotated[
        list[Path] | None,
        option(panel=REQUESTS, metavar="FOLDER", help="Finished replays: run folders, or folders of them. Repeatable."),
    ] = None,
    log: LogOption = None,
    columns: LogColumnsOption = None,
    time_unit: LogUnitOption = None,
    policy: LogPolicyOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
    output: Annotated[Path, output_option("The HTML page to write.")],
    force: ForceOption = False,
) -> None:
    """Simulate replays, or the requests of another engine's log, and write the error of each simulated figure.

    Exit code 1 if an error is above its limit. Steps: 3 % in the median, 8 % at p95. Throughput and makespan: 2 %. Mean
    E2E: 3 %. Mean TTFT, and the p99 of TTFT, TPOT and E2E (p90 if there are few requests): 5 %. Peak VRAM: 1 %.

    If requests arrive faster than they are served, TTFT is mostly waiting: its error is then given as a share of the
    mean E2E. If the clocks of a log differ, only TPOT has a limit.
    """
    from ..reports import as_table, write_validation

    check_output(output, "-o", ".html", ".htm", force=force)
    if log is None and not runs:
        raise InvalidScenario("--runs or --log is missing: it is what simulations are compared with")
    if log is None and (options != Options() or columns or time_unit or policy):
        raise InvalidScenario("--runs say what was run: leave --model, --policy, --columns, --time-unit and limits out")
    validations = [_validated(folder, profile) for path in runs or [] for folder in run_folders(path)]
    if log is not None:
        validations.append(_validated_log(*read_log(log, columns, time_unit, options), policy, profile))
    write_validation(validations, output)
    if json:
        terminal.print_json(as_table(validations))
    else:
        show_validations(validations)
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
        raise InvalidRun(f"{folder} is a {run.info.kind} run: only replays can be validated")
    if not run.info.complete:
        raise InvalidRun(f"{folder} was interrupted: replay it again, with --resume")
    if machine.degraded:
        terminal.note(f"{folder} is degraded: its requests were submitted late, which the simulation does not do")
    experiment, policy = restore(run)
    step_time = as_step_time(step_time_of(profile, experiment), experiment)
    if isinstance(step_time, CalibratedStepTime) and step_time.attention != machine.attention:
        measured = step_time.attention or "another engine"
        terminal.note(f"{folder} ran with {machine.attention}, the profile was measured with {measured}")
    simulated = simulate(experiment, policy, step_time=step_time, plan_ahead=bool(machine.plan_ahead))
    known = all(name in run.steps for name in COLUMNS)  # an older version recorded less
    return hold_against(run, simulated, step_errors(run.steps, step_time) if known else None)


def _validated_log(log: RequestLog, experiment: Experiment, policy: str | None, profile: str | None) -> "Validation":
    from ..reports import validate as hold_against
    from ..sim import as_step_time, simulate
    from ..sim.fitting.request_log import align_clocks, run_from_log

    step_time = as_step_time(step_time_of(profile, experiment), experiment)
    simulated = simulate(experiment, parse_policy(policy or LIKE_VLLM), step_time=step_time, plan_ahead=True)
    real = run_from_log(align_clocks(log, simulated), simulated)
    return hold_against(real, simulated, is_wait_known=log.same_clock)
