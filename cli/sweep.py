"""The command that asks how much each policy can take: `sweep`."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..csrc import parse_policies
from ..errors import InvalidScenario
from ..experiment import Experiment
from ..records import claim_folder, command_line, fresh_folder
from . import calibrate as trust
from . import terminal
from .options import Options, experiment_from, with_some_options

if TYPE_CHECKING:
    from ..sim.sweep.estimate import SweepEstimate, TrialTimes
    from ..sim.sweep.journal import Journal
    from ..sim.sweep.search import CapacitySearch

_TIMED_COUNTS_S = 10.0  # the runs that were timed before the sweep count as much as so many seconds of it
_NOT_OURS = ("arrivals", "rate_scale")  # what a sweep varies


@with_some_options(*(field.name for field in fields(Options) if field.name not in _NOT_OURS))
def sweep(
    *,
    options: Options,
    rate: Annotated[
        str,
        typer.Option(
            help="The grid, LOW:HIGH:STEP in requests per second: Poisson streams over the lengths of the trace or "
            "scenario.",
            show_default=False,
        ),
    ],
    policies: Annotated[
        str | None,
        typer.Option(help="Comma-separated, as in `compare`. Default: the scenario's.", show_default=False),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Simulate each rate on so many seeds, from --seed on.")] = 3,
    attainment: Annotated[float, typer.Option(help="The share of all requests that has to keep the SLO.")] = 0.9,
    grid: Annotated[bool, typer.Option("--grid", help="Measure every rate, not only where bisection looks.")] = False,
    engine: Annotated[str, typer.Option(help="local: the cores of this machine; ray: a Ray cluster.")] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(
            help="Of the Ray cluster. Default: the one that this machine is part of, else a Ray of its own.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Simulations at a time. Default: one for each core.", show_default=False)
    ] = None,
    profile: Annotated[str | None, typer.Option(help="As in `compare`.", show_default=False)] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write into. Default: a fresh numbered one in warpgroup-runs.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write even where something is already.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on in the folder: no simulation is made twice.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it will take, and write nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print machine-readable results to stdout.")] = False,
) -> None:
    """Find each policy's capacity: the highest rate of requests at which it keeps the SLO.

    Capacity is where bisection ends on the grid of rates. A count policy without a count is there twice, as in
    `compare`: its best safe count is searched at the middle rate, on the first seed alone.
    """
    from ..reports import read_study, write_report
    from ..sim import as_step_time
    from ..sim.sweep import searches_of
    from ..sim.sweep import sweep as run
    from ..sim.sweep.capacity import rates_of
    from ..sim.sweep.estimate import estimate_sweep, time_trials
    from ..sim.sweep.journal import Journal
    from ..sim.sweep.search import Question
    from ..sim.sweep.trials import SweepSetting
    from ..sim.sweep.workers import check_workers, open_workers

    question = Question(rates_of(rate), attainment, every_rate=grid)
    _check(seeds, attainment, workers)
    check_workers(engine, ray_address)
    experiments, named = _experiments(options, seeds)
    specs = parse_policies(policies if policies is not None else ",".join(named))
    for spec in specs:
        experiments[0].scheduler(spec)  # a contradiction with the limits shows here, before anything is written
    step_time = as_step_time(trust.step_time_of(profile, experiments[0]), experiments[0])
    setting = SweepSetting({each.seed: each for each in experiments}, step_time)
    folder = out or fresh_folder()
    if not dry_run:
        claim_folder(folder, force=force, resume=resume)
    journal = Journal.read(folder) if resume else Journal.empty(folder)
    terminal.note_trace(experiments[0].trace)
    searches = searches_of(specs, setting, question, journal.records)
    with open_workers(engine, setting, workers=workers, address=ray_address) as running:
        clock = time_trials(searches, setting, question, running.slots)
        planned = estimate_sweep(searches, setting, question, clock)
        terminal.note(_announced(planned))
        if dry_run:
            if json:
                terminal.print_json(planned)
            return
        with _bars(searches, clock) as show, _kept(journal):
            found = run(searches, setting, question, journal, running, command=command_line(), on_progress=show)
    write_report(read_study([folder]), folder / "report.html")
    if json:
        terminal.print_json(found)
    else:
        terminal.show_sweep(found)
    terminal.show_path("report", folder / "report.html")


def _check(seeds: int, attainment: float, workers: int | None) -> None:
    if seeds < 1:
        raise InvalidScenario(f"--seeds is {seeds}, expected at least 1")
    if not 0 < attainment <= 1:
        raise InvalidScenario(f"--attainment is {attainment:g}, expected a share such as 0.9")
    if workers is not None and workers < 1:
        raise InvalidScenario(f"--workers is {workers}, expected at least 1")


def _experiments(options: Options, seeds: int) -> tuple[list[Experiment], list[str]]:
    """One a seed, and the policies that the scenario names. Arrivals and their rate are the sweep's to say."""
    options = replace(options, arrivals="at-zero", rate_scale=1.0)
    first, named = experiment_from(options)
    others = [experiment_from(replace(options, seed=first.seed + i))[0] for i in range(1, seeds)]
    return [first, *others], named


def _announced(planned: "SweepEstimate") -> str:
    done = f"{planned.trials_done:,} trials are done, " if planned.trials_done else ""
    trials = _range(f"{planned.trials_least:,}", f"{planned.trials_most:,}")
    seconds = _range(_duration(planned.seconds_least), _duration(planned.seconds_most))
    to_do = (
        f"{trials} to make, {planned.at_once:,} at a time: about {seconds}" if planned.trials_most else "all there are"
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
def _kept(journal: "Journal") -> Iterator[None]:
    """After Ctrl-C, say what is kept and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        kept = len(journal.records)
        terminal.note(f"{kept:,} simulations are kept: --out {journal.folder} --resume goes on from there")
        raise


@contextmanager
def _bars(searches: "Sequence[CapacitySearch]", clock: "TrialTimes") -> Iterator[Callable[[], None]]:
    """A bar for each policy with what is known of its capacity, and one for all with the time left."""
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
            spent = time.monotonic() - begun
            pace = (spent + _TIMED_COUNTS_S) / (expected - left + _TIMED_COUNTS_S)
            ahead = left * pace
            doing = f"at most {_duration(ahead)} left" if left else "done"
            bars.update(whole, completed=spent, total=spent + ahead, doing=doing)

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
