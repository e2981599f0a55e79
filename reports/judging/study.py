"""The input of a report: the compared runs, their replicates under other seeds, an ablation, and sweeps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ...records import Run, RunInfo, read_info, read_run, refuse_stripped, run_folders
from ...records.sweep import FILE as SWEEP
from ...records.sweep import Sweep, read_sweep
from .replicates import ReplicateKey, replicate_key
from .verdict import Verdict, verdict

ABLATION_FOLDER = "attribution"
"""The folder of a comparison that holds the runs of its ablation."""


@dataclass(frozen=True, slots=True)
class Study:
    """All that a report shows. Build it with `Study.of`.

    Attributes:
        runs: the runs that figures show: of each policy and kind the run of the first seed.
        replicates: for each of these runs, the `run.json` of all seeds of its policy and kind, by seed, including its
            own.
        ablation: the runs from `count-static` to the best policy, one switch at a time; may be empty.
        sweeps: the capacity of each policy under an SLO; may be empty.
        judged: the verdict on the runs; None if there are no runs.
    """

    runs: list[Run]
    replicates: list[list[RunInfo]]
    ablation: list[Run]
    sweeps: list[Sweep]
    judged: Verdict | None

    @classmethod
    def of(
        cls,
        runs: Sequence[Run],
        replicates: Sequence[Sequence[RunInfo]] = (),
        ablation: Sequence[Run] = (),
        sweeps: Sequence[Sweep] = (),
    ) -> Self:
        """Judge the runs once. By default each run is the only one of its policy and kind."""
        groups = [list(group) for group in replicates] or [[run.info] for run in runs]
        judged = verdict([run.info for run in runs], groups) if runs else None
        return cls(list(runs), groups, list(ablation), list(sweeps), judged)


def read_study(paths: Sequence[Path]) -> Study:
    """Read the study in these folders.

    Args:
        paths: run folders, folders of run folders, folders that `compare` wrote (with `seed-K/POLICY` and
            `attribution/NN-POLICY`), and folders of sweeps.

    Runs that differ only in the seed, and in what a seed draws, are replicates; only the run of the first seed is read
    with its tables. Two runs of the same seed are two runs. A folder that is named twice is read once.

    Raises InvalidRun: a path has no run, a run cannot be read, or a run below a path has no `run.json`.
    """
    paths = list({path.resolve(): path for path in reversed(paths)}.values())[::-1]
    sweeps = [path for path in paths if (path / SWEEP).exists()]
    folders = [path for path in paths if path not in sweeps or _runs_in(path)]
    found = [each for path in folders for each in _compared(path)]
    once = {folder.resolve(): (info, folder) for info, folder in reversed(found)}
    groups = _replicates(reversed(once.values()))
    return Study.of(
        runs=[read_run(group[0][1]) for group in groups],
        replicates=[[info for info, _ in group] for group in groups],
        ablation=[read_run(step) for path in folders for step in _runs_in(path / ABLATION_FOLDER)],
        sweeps=[read_sweep(path) for path in sweeps],
    )


_Found = tuple[RunInfo, Path]


def _compared(path: Path) -> list[_Found]:
    """The run in the folder itself, or the runs in it: first those of the first seed, then their replicates.

    Other runs of other seeds are ignored, because an earlier comparison may have left them.
    """
    first = [(read_info(run), run) for run in run_folders(path)]
    keys = [replicate_key(info) for info, _ in first]
    others = [(read_info(run), run) for seed in sorted(path.glob("seed-*")) for run in _runs_in(seed)]
    return first + [(info, run) for info, run in others if replicate_key(info) in keys]


def _runs_in(folder: Path) -> list[Path]:
    """The run folders in a folder, in the order of their names. The folder may be missing."""
    below = sorted(each for each in folder.glob("*") if each.is_dir())
    for each in below:
        refuse_stripped(each)
    return [each for each in below if (each / "run.json").exists()]


def _replicates(found: Iterable[_Found]) -> list[list[_Found]]:
    """Groups of replicates in the order in which they were found, each group in the order of its seeds."""
    groups: list[tuple[ReplicateKey, dict[int, _Found]]] = []
    for info, folder in found:
        key = replicate_key(info)
        group = next((group for other, group in groups if other == key and info.seed not in group), None)
        if group is None:
            groups.append((key, group := {}))
        group[info.seed] = info, folder
    return [[group[seed] for seed in sorted(group)] for _, group in groups]
