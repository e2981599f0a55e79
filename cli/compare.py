"""The command that lays policies side by side: `compare`."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.progress import Progress, TaskID

from ..csrc import PolicySpec, parse_policies, parse_policy
from ..errors import Interrupted, InvalidRun, NoAblation
from ..experiment import Experiment
from ..records import command_line, fresh_folder, read_info, read_run, remove_run
from . import terminal
from .experiments import experiment_from, replicate, step_time_of
from .help import examples, option
from .options import (
    POLICY,
    RESULTS,
    SIMULATION,
    JsonOption,
    Options,
    OutOption,
    PoliciesOption,
    ProfileOption,
    ResumeOption,
    with_options,
)
from .outputs import claim_out
from .tables.runs import show_runs

if TYPE_CHECKING:
    from ..reports import Study
    from ..sim import AblationStep, StepTime

EXAMPLES = examples(
    "warpgroup compare --trace requests.csv --device rtx-4090 --vram 20GiB",
    "warpgroup compare --scenario chat-24 --policies paged,skyline --seeds 3",
)


@with_options
def compare_command(
    *,
    options: Options,
    policies: PoliciesOption = None,
    seeds: Annotated[
        int,
        option(
            panel=SIMULATION,
            metavar="N",
            help="Run every policy on this many seeds, from --seed on, so that differences have an interval. If "
            "requests and times come from a file, other seeds reshuffle the requests over the times. Default: 1.",
            min=1,
        ),
    ] = 1,
    attribute: Annotated[
        bool,
        option(
            panel=POLICY,
            help="Also simulate the steps from count-static to the best policy, one switch at a time, to show what "
            "each switch adds.",
        ),
    ] = True,
    profile: ProfileOption = None,
    out: OutOption = None,
    force: Annotated[
        bool,
        option("--force", panel=RESULTS, help="Write into a folder in use. Earlier simulations in it are deleted."),
    ] = False,
    resume: ResumeOption = False,
    json: JsonOption = False,
) -> None:
    """Simulate several policies on the same requests, and write one HTML report.

    A count policy (count-static, count-continuous) without a count is run twice: with the best count that fits in
    memory, searched on these requests, and with n=32. With --seeds, the search uses only the first seed.
    """
    experiment, named = experiment_from(options)
    specs = parse_policies(policies if policies is not None else ",".join(named))
    for spec in specs:
        experiment.scheduler(spec)  # a contradiction with the limits shows here, before anything is written
    folder = out or fresh_folder()
    case = _Case(
        experiment,
        [replicate(experiment, options, experiment.seed + i) for i in range(1, seeds)],
        folder,
        step_time_of(profile, experiment),
    )
    _claim(folder, force=force, resume=resume)
    terminal.note_trace(experiment.trace)
    with _interruptible(folder), terminal.progress() as progress:
        bars = _Bars(progress, seeds)
        folders = _run_policies(case, specs, bars, resume=resume)
        study = _read_study(folders)
        if attribute:
            study = _with_ablation(study, case, folders, bars)
        _write_report(study, folder / "report.html", bars)
    _show(study, folders, json=json)
    terminal.show_path("report", folder / "report.html")


@dataclass(frozen=True, slots=True)
class _Case:
    """What every policy is run on: an experiment, the same under other seeds, and where its runs are written."""

    experiment: Experiment
    replicates: list[Experiment]
    folder: Path
    step_time: "StepTime | None"


class _Bars:
    """A bar for each policy, shared by its seeds (a step of the ablation has one seed), and one for the report."""

    def __init__(self, progress: Progress, seeds: int) -> None:
        self._progress = progress
        self._seeds = seeds
        self._tasks: dict[str, TaskID] = {}
        self._ended: dict[str, dict[str, int]] = {}

    def show(self, name: str, doing: str, ended: int, total: int, *, seeds: int | None = None) -> None:
        """Take a message of a run: its folder, and how many of how many requests have ended."""
        seed, _, policy = name.rpartition("/")
        if policy not in self._tasks:
            self._tasks[policy] = self._progress.add_task(policy, total=(seeds or self._seeds) * total, doing=doing)
        self._ended.setdefault(policy, {})[seed] = ended
        shown = f"{seed}: {doing}" if seed else doing
        self._progress.update(self._tasks[policy], completed=sum(self._ended[policy].values()), doing=shown)

    def finish(self) -> None:
        """Fill every bar: seeds whose runs were kept from an earlier command send no message."""
        for task in self._tasks.values():
            self._progress.update(task, total=1, completed=1, doing="done")

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """The bar of the report."""
        task = self._progress.add_task("report", total=1, doing="drawing")
        yield
        self._progress.update(task, completed=1, doing="done")


def _claim(folder: Path, *, force: bool, resume: bool) -> None:
    from ..reports import ABLATION_FOLDER
    from ..sim import remove_ablation

    claim_out(folder, force=force, resume=resume)
    if force and not resume:
        _remove_earlier(folder)
    remove_ablation(folder / ABLATION_FOLDER)


def _remove_earlier(folder: Path) -> None:
    """Delete what an earlier comparison simulated. Replays stay: they cannot be made here again."""
    for pattern in ("run.json", "*/run.json", "seed-*/*/run.json"):
        for run in sorted(each.parent for each in folder.glob(pattern)):
            with suppress(InvalidRun):
                if read_info(run).kind == "simulated":
                    remove_run(run)
    for seed in folder.glob("seed-*"):
        with suppress(OSError):
            seed.rmdir()  # only if it is empty


@contextmanager
def _interruptible(folder: Path) -> Iterator[None]:
    """Turn Ctrl-C into a message that says what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted: finished runs and the started ones, marked incomplete, are kept in {folder}; the same "
            f"command with --out {folder} --resume continues"
        ) from None


def _run_policies(case: _Case, specs: list[PolicySpec], bars: _Bars, *, resume: bool) -> list[Path]:
    from ..sim import compare

    folders = compare(
        case.experiment,
        specs,
        case.folder,
        replicates=case.replicates,
        step_time=case.step_time,
        resume=resume,
        command=command_line(),
        on_progress=bars.show,
    )
    bars.finish()
    return folders


def _read_study(folders: list[Path]) -> "Study":
    from ..reports import read_study

    return read_study(folders)


def _with_ablation(study: "Study", case: _Case, folders: list[Path], bars: _Bars) -> "Study":
    """The study with the runs between the baseline and the winner, if there are any."""
    from ..reports import ABLATION_FOLDER
    from ..sim import run_ablation

    try:
        steps = _ablation_steps(study, case.experiment)
    except NoAblation as error:
        terminal.note(f"the report has no ablation: {error}")
        steps = []
    if not steps:
        return study
    made = run_ablation(
        case.experiment,
        steps,
        case.folder / ABLATION_FOLDER,
        step_time=case.step_time,
        reuse={run.info.policy: each for run, each in zip(study.runs, folders, strict=False)},
        command=command_line(),
        on_progress=partial(bars.show, seeds=1),
    )
    return replace(study, ablation=[read_run(each) for each in made])


def _ablation_steps(study: "Study", experiment: Experiment) -> "list[AblationStep]":
    """From the first padded count policy of the study to the winner; empty if either is missing."""
    from ..sim import ablation_steps

    infos = [run.info for run in study.runs]
    baseline = next((info for info in infos if info.counts_requests and info.is_padded), None)
    best = study.judged.winner if study.judged is not None else None
    if baseline is None or best is None or infos[best].upper_bound or infos[best].policy == baseline.policy:
        return []
    return ablation_steps(parse_policy(infos[best].policy), parse_policy(baseline.policy), experiment.max_seqs)


def _write_report(study: "Study", path: Path, bars: _Bars) -> None:
    from ..reports import write_report

    with bars.drawing():
        write_report(study, path)


def _show(study: "Study", folders: list[Path], *, json: bool) -> None:
    if json:
        infos = [read_info(each) for each in folders]
        terminal.print_json([info.summary | {"seed": info.seed} for info in infos])
    elif study.judged is not None:
        show_runs(study.judged)
