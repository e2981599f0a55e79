"""The command that lays policies side by side: `compare`."""

from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..csrc import parse_policies, parse_policy
from ..errors import InvalidRun
from ..experiment import Experiment
from ..records import claim_folder, command_line, fresh_folder, read_info, read_run, remove_run
from . import calibrate as trust
from . import terminal
from .options import JsonOption, Options, OutOption, ProfileOption, experiment_from, replicate, with_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..reports import Study
    from ..sim import AblationStep

_BASELINE = "count-static"


@with_options
def compare(
    *,
    options: Options,
    policies: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated, such as 'paged,ffd(margin=0.01)'. Default: the scenario's.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(
            help="Run every policy on so many seeds, from --seed on, so that differences carry an interval. Where "
            "requests and times are a file's, other seeds deal the requests anew onto the times.",
            min=1,
        ),
    ] = 1,
    attribute: Annotated[
        bool,
        typer.Option(
            help="Simulate the way from count-static, where it is compared, to the best policy, one switch at a time, "
            "to say which switch brought what."
        ),
    ] = True,
    profile: ProfileOption = None,
    out: OutOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write even where something is; what was simulated there before goes.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Keep runs in the folder that are complete and of this experiment."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Simulate several policies on the same requests, and write one HTML report.

    A count policy without a count (count-static, count-continuous) is run twice: with its best safe count, searched
    on these very requests, and with n=32. With --seeds it is searched on the first seed alone.
    """
    from ..reports import ABLATION_FOLDER, read_study, write_report
    from ..sim import compare as run_all
    from ..sim import remove_ablation, run_ablation

    experiment, named = experiment_from(options)
    specs = parse_policies(policies if policies is not None else ",".join(named))
    for spec in specs:
        experiment.scheduler(spec)  # a contradiction with the limits shows here, before anything is written
    replicates = [replicate(experiment, options, experiment.seed + i) for i in range(1, seeds)]
    step_time = trust.step_time_of(profile, experiment)
    folder = out or fresh_folder()
    claim_folder(folder, force=force, resume=resume)
    if force and not resume:
        _remove_earlier(folder)
    remove_ablation(folder / ABLATION_FOLDER)
    terminal.note_trace(experiment.trace)
    command = command_line()
    with _bars(seeds) as (show, draw):
        folders = run_all(
            experiment,
            specs,
            folder,
            replicates=replicates,
            step_time=step_time,
            resume=resume,
            command=command,
            on_progress=show,
        )
        study = read_study(folders)
        if attribute and (rungs := _ladder(study, experiment)):
            made = {run.info.policy: each for run, each in zip(study.runs, folders, strict=False)}
            ladder = run_ablation(
                experiment,
                rungs,
                folder / ABLATION_FOLDER,
                step_time=step_time,
                reuse=made,
                command=command,
                on_progress=partial(show, seeds=1),
            )
            study = replace(study, ablation=[read_run(each) for each in ladder])
        draw("drawing")
        write_report(study, folder / "report.html")
        draw("done")
    if json:
        infos = [read_info(each) for each in folders]
        terminal.print_json([info.summary | {"seed": info.seed} for info in infos])
    elif study.judged is not None:
        terminal.show_runs(study.judged)
    terminal.show_path("report", folder / "report.html")


def _remove_earlier(folder: Path) -> None:
    """Delete what an earlier comparison simulated. Replays stay: they cannot be made here again."""
    for pattern in ("run.json", "*/run.json", "seed-*/*/run.json"):
        for run in sorted(each.parent for each in folder.glob(pattern)):
            with suppress(InvalidRun):
                if read_info(run).kind == "simulated":
                    remove_run(run)
    for seed in folder.glob("seed-*"):
        with suppress(OSError):
            seed.rmdir()  # if nothing is left in it


def _ladder(study: "Study", experiment: Experiment) -> "list[AblationStep]":
    """From the count-static that was compared, the searched one if there is one, to the winner; nothing if either is
    missing.
    """
    from ..sim import ablation_steps

    infos = [run.info for run in study.runs]
    baseline = next((info for info in infos if info.policy.startswith(_BASELINE)), None)
    best = study.judged.winner if study.judged is not None else None
    if baseline is None or best is None:
        return []
    winner = infos[best]
    if winner.upper_bound or winner.policy == baseline.policy:
        return []
    return ablation_steps(parse_policy(winner.policy), parse_policy(baseline.policy), experiment.max_seqs)


@contextmanager
def _bars(seeds: int) -> "Iterator[tuple[Callable[..., None], Callable[[str], None]]]":
    """A bar for each policy, which all its seeds share (a rung has one alone), and one for the report."""
    with terminal.progress() as progress:
        tasks: dict[str, Any] = {}
        ended_in: dict[str, dict[str, int]] = {}

        def show(name: str, doing: str, ended: int, total: int, seeds: int = seeds) -> None:
            seed, _, policy = name.rpartition("/")
            if policy not in tasks:
                tasks[policy] = progress.add_task(policy, total=seeds * total, doing=doing)
            ended_in.setdefault(policy, {})[seed] = ended
            shown = f"{seed}: {doing}" if seed else doing
            progress.update(tasks[policy], completed=sum(ended_in[policy].values()), doing=shown)

        def draw(doing: str) -> None:
            if "report" not in tasks:
                tasks["report"] = progress.add_task("report", total=1, doing=doing)
            progress.update(tasks["report"], completed=int(doing == "done"), doing=doing)

        yield show, draw
