"""The command that asks how much each policy can take: `sweep`."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ..csrc import PolicySpec, parse_policies
from ..errors import Interrupted, InvalidScenario
from ..experiment import Experiment
from ..records import command_line, fresh_folder
from . import terminal
from .experiments import experiment_from, step_time_of
from .help import examples, option
from .options import (
    RESULTS,
    ForceOption,
    JsonOption,
    Options,
    OutOption,
    PoliciesOption,
    ProfileOption,
    with_some_options,
)
from .outputs import claim_out
from .tables.runs import show_sweep

if TYPE_CHECKING:
    from ..records.sweep import Sweep
    from ..sim.sweep.estimate import SweepEstimate, TrialTimes
    from ..sim.sweep.journal import Journal
    from ..sim.sweep.search import CapacitySearch, Question
    from ..sim.sweep.trials import SweepSetting

EXAMPLES = examples(
    "warpgroup sweep --rate 1:8:1 --scenario chat-24 --policies paged,skyline",
    "warpgroup sweep --rate 1:8:0.5 --trace requests.csv --dry-run",
)
_PANEL = "What to search"
_WHERE = "Where to run"
_TIMED_COUNTS_S = 10.0  # the runs that were timed before the sweep count as much as this many seconds of it
_VARIED = ("arrivals", "rate_scale")  # the sweep itself sets them


@with_some_options(*(field.name for field in fields(Options) if field.name not in _VARIED))
def sweep_command(
    *,
    options: Options,
    rate: Annotated[
        str,
        option(
            panel=_PANEL,
            metavar="LOW:HIGH:STEP",
            help="The grid of rates in requests per second. Arrivals are Poisson; lengths are those of the trace or "
            "scenario.",
        ),
    ],
    policies: PoliciesOption = None,
    seeds: Annotated[
        int,
        option(
            panel=_PANEL,
            metavar="N",
            help="Simulate each rate on this many seeds, from --seed on.",
            min=1,
            show_default=True,
        ),
    ] = 3,
    attainment: Annotated[
        float,
        option(
            panel=_PANEL, metavar="SHARE", help="The share of all requests that must meet the SLO.", show_default=True
        ),
    ] = 0.9,
    grid: Annotated[
        bool, option("--grid", panel=_PANEL, help="Measure every rate of the grid. Default: bisection.")
    ] = False,
    engine: Annotated[
        str,
        option(
            panel=_WHERE,
            metavar="NAME",
            help="local: the cores of this machine. ray: a Ray cluster.",
            show_default=True,
        ),
    ] = "local",
    ray_address: Annotated[
        str | None,
        option(
            panel=_WHERE,
            metavar="ADDRESS",
            help="The address of the Ray cluster. Default: the cluster of this machine; if there is none, a new local "
            "one.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        option(panel=_WHERE, metavar="N", help="Simulations at the same time. Default: one for each core.", min=1),
    ] = None,
    profile: ProfileOption = None,
    out: OutOption = None,
    force: ForceOption = False,
    resume: Annotated[
        bool, option("--resume", panel=RESULTS, help="Continue in the folder. Simulations that are done are kept.")
    ] = False,
    dry_run: Annotated[
        bool, option("--dry-run", panel=RESULTS, help="Say how long the sweep takes, and write nothing.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Find the capacity of each policy: the highest rate of requests at which it meets the SLO.

    Bisection finds the capacity on the grid of rates. A count policy without a count is run twice, as in `compare`; its
    best count is searched at the middle rate on the first seed.
    """
    from ..sim import as_step_time
    from ..sim.sweep.capacity import rates_of
    from ..sim.sweep.search import Question
    from ..sim.sweep.trials import SweepSetting
    from ..sim.sweep.workers import check_workers

    question = Question(rates_of(rate), attainment, every_rate=grid)
    if not 0 < attainment <= 1:
        raise InvalidScenario(f"--attainment is {attainment:g}, expected a share such as 0.9")
    check_workers(engine, ray_address)
    experiments, named = _experiments(options, seeds)
    specs = parse_policies(policies if policies is not None else ",".join(named))
    for spec in specs:
        experiments[0].scheduler(spec)  # a contradiction with the limits shows here, before anything is written
    step_time = as_step_time(step_time_of(profile, experiments[0]), experiments[0])
    setting = SweepSetting({each.seed: each for each in experiments}, step_time)
    folder = out or fresh_folder()
    if not dry_run:
        claim_out(folder, force=force, resume=resume)
    terminal.note_trace(experiments[0].trace)
    where = _Where(engine, workers, ray_address)
    answer = _answer(specs, setting, question, folder, where, resume=resume, dry_run=dry_run)
    _show(answer, folder, json=json)


@dataclass(frozen=True, slots=True)
class _Where:
    """Where simulations run."""

    engine: str
    workers: int | None
    ray_address: str | None


def _answer(
    specs: list[PolicySpec],
    setting: "SweepSetting",
    question: "Question",
    folder: Path,
    where: _Where,
    *,
    resume: bool,
    dry_run: bool,
) -> "Sweep | SweepEstimate":
    """The finished sweep; with `dry_run`, what it would take."""
    from ..sim.sweep.estimate import estimate_sweep, time_trials
    from ..sim.sweep.journal import Journal
    from ..sim.sweep.run import searches_of, sweep
    from ..sim.sweep.workers import open_workers

    journal = Journal.read(folder) if resume else Journal.empty(folder)
    searches = searches_of(specs, setting, question, journal.records)
    with open_workers(where.engine, setting, workers=where.workers, address=where.ray_address) as running:
        clock = time_trials(searches, setting, question, running.slots)
        planned = estimate_sweep(searches, setting, question, clock)
        terminal.note(_announced(planned))
        if dry_run:
            return planned
        with _bars(searches, clock) as show, _interruptible(journal):
            return sweep(searches, setting, question, journal, running, command=command_line(), on_progress=show)


def _show(answer: "Sweep | SweepEstimate", folder: Path, *, json: bool) -> None:
    from ..records.sweep import Sweep
    from ..reports import read_study, write_report

    if json:
        terminal.print_json(answer)
    if not isinstance(answer, Sweep):
        return
    write_report(read_study([folder]), folder / "report.html")
    if not json:
        show_sweep(answer)
    terminal.show_path("report", folder / "report.html")


def _experiments(options: Options, seeds: int) -> tuple[list[Experiment], list[str]]:
    """One for each seed, and the policies that the scenario names. The sweep itself sets the arrivals."""
    options = replace(options, arrivals="at-zero", rate_scale=1.0)
    first, named = experiment_from(options)
    others = [experiment_from(replace(options, seed=first.seed + i))[0] for i in range(1, seeds)]
    return [first, *others], named


def _announced(planned: "SweepEstimate") -> str:
    done = f"{planned.trials_done:,} trials are done, " if planned.trials_done else ""
    trials = _range(f"{planned.trials_least:,}", f"{planned.trials_most:,}")
    seconds = _range(_duration(planned.seconds_least), _duration(planned.seconds_most))
    to_do = (
        f"{trials} to make, {planned.at_once:,} at a time: about {seconds}" if planned.trials_most else "none is left"
    )
    counts = f"policies: {len(planned.policies):,}, rates: {len(planned.rates):,}, seeds: {len(planned.seeds):,}"
    return f"{counts}, requests in a trial: {planned.requests:,}; {done}{to_do}"


def _range(least: str, most: str) -> str:
    return least if least == most else f"{least} to {most}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(math.ceil(seconds), 1)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def _interruptible(journal: "Journal") -> Iterator[None]:
    """Turn Ctrl-C into a message that says what is kept and how to continue."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted: {len(journal.records):,} simulations are kept; the same command with "
            f"--out {journal.folder} --resume continues"
        ) from None


@contextmanager
def _bars(searches: "Sequence[CapacitySearch]", clock: "TrialTimes") -> Iterator[Callable[[], None]]:
    """A bar for each policy, with what is known of its capacity, and one for the whole sweep, with the time left."""
    begun, expected = time.monotonic(), clock.left(searches)[1]
    with terminal.progress() as bars:
        whole = bars.add_task("sweep", total=None, doing="")
        tasks = [bars.add_task(str(search.policy), total=None, doing="") for search in searches]

        def show() -> None:
            for search, task in zip(searches, tasks, strict=True):
                most = search.trials + search.trials_left()[1]
                bars.update(
                    task, description=str(search.policy), completed=search.trials, total=most, doing=_known(search)
                )
            left = clock.left(searches)[1]
            if not left:
                bars.update(whole, completed=1, total=1, doing="done")
                return
            spent = time.monotonic() - begun
            pace = (spent + _TIMED_COUNTS_S) / (expected - left + _TIMED_COUNTS_S)
            ahead = left * pace
            bars.update(whole, completed=spent, total=spent + ahead, doing=f"at most {_duration(ahead)} left")

        show()
        yield show


def _known(search: "CapacitySearch") -> str:
    if search.counting:
        return "searching its best count"
    low, high = search.bracket()
    if low is None and high is None:
        return ""
    if low is None:
        return f"below {high:g} requests/s"
    if high is None:
        return f"{low:g} requests/s or more"
    return f"between {low:g} and {high:g} requests/s" if search.missing else f"{low:g} requests/s"
