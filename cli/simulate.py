"""The command that simulates one policy: `simulate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..csrc import PolicySpec, parse_policy
from ..errors import Interrupted, InvalidScenario
from ..experiment import Experiment
from ..records import Run, command_line, fresh_folder, read_run, write_run
from . import terminal
from .experiments import experiment_from, step_time_of
from .help import examples, option
from .options import POLICY, SIMULATION, ForceOption, JsonOption, Options, OutOption, ProfileOption, with_options
from .outputs import claim_out
from .tables.runs import show_runs

if TYPE_CHECKING:
    from ..sim import StepTime

EXAMPLES = examples(
    "warpgroup simulate --policy paged --scenario chat-24",
    "warpgroup simulate --policy 'ffd(margin=0.1)' --trace requests.csv",
)


@with_options
def simulate_command(
    *,
    options: Options,
    policy: Annotated[
        str | None, option(panel=POLICY, metavar="NAME", help="One policy, such as paged or 'count-static(n=8)'.")
    ] = None,
    step_times: Annotated[
        Path | None,
        option(
            panel=SIMULATION,
            metavar="FOLDER",
            help="The run folder of a replay. Make its plans again with its measured step times, and say whether they "
            "are the same. Policy, requests and limits are taken from the run.",
        ),
    ] = None,
    profile: ProfileOption = None,
    out: OutOption = None,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Simulate one policy and write one run folder."""
    if step_times is not None:
        if policy or profile or options != Options():
            raise InvalidScenario("--step-times takes policy, requests and limits from the run: give only --out")
        _plan_again(step_times, out, force=force, json=json)
        return
    if not policy:
        raise InvalidScenario("--policy is missing: `warpgroup policies` lists them")
    experiment, _ = experiment_from(options)
    spec = parse_policy(policy)
    experiment.scheduler(spec)  # a contradiction with the limits shows here, before anything is written
    step_time = step_time_of(profile, experiment)
    folder = out or fresh_folder()
    claim_out(folder, force=force)
    terminal.note_trace(experiment.trace)
    run = _simulated(experiment, spec, step_time)
    write_run(folder, run)
    if not run.info.complete:
        raise Interrupted(f"interrupted: the run up to now is kept in {folder}, marked incomplete")
    _show(run, folder, json=json)


def _simulated(experiment: Experiment, spec: PolicySpec, step_time: "StepTime | None") -> Run:
    from ..sim import simulate

    with terminal.progress() as progress:
        task = progress.add_task(str(spec), total=len(experiment.trace), doing="simulating")
        run = simulate(
            experiment,
            spec,
            step_time=step_time,
            command=command_line(),
            on_progress=lambda ended: progress.update(task, completed=ended) if ended % 64 == 0 else None,
        )
        ended = len(experiment.trace) - run.info.summary["aborted"]
        progress.update(task, completed=ended, doing="done" if run.info.complete else "interrupted")
    return run


def _plan_again(recorded: Path, out: Path | None, *, force: bool, json: bool) -> None:
    """Check replay parity of one run: exit code 1 if a plan differs."""
    from ..sim import follow

    parity = follow(read_run(recorded))
    if parity.difference is not None:
        terminal.error(f"the plans of {recorded} are not those of the simulator: {parity.difference}")
        raise typer.Exit(1)
    assert parity.run is not None, "a run without a difference was made again"
    folder = out or fresh_folder()
    claim_out(folder, force=force)
    parity.run.info.command = command_line()
    write_run(folder, parity.run)
    terminal.note(f"all {len(parity.run.steps['step']):,} plans are the same, hash {parity.run.info.plan_hash}")
    _show(parity.run, folder, json=json)


def _show(run: Run, folder: Path, *, json: bool) -> None:
    if json:
        terminal.print_json([run.info.summary | {"seed": run.info.seed}])
    else:
        from ..reports import verdict

        show_runs(verdict([run.info]))
    terminal.show_path("run", folder)
