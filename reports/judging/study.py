"""What a report is made of: the runs that are compared, the same under other seeds, and what explains them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from ...records import Run, RunInfo, read_info, read_run, refuse_stripped, run_folders
from ...records.sweep import FILE as SWEEP
from ...records.sweep import Sweep, read_sweep
from ...workloads import is_reshuffle, without_seed

LADDER = "attribution"
"""The folder of a comparison with the runs from count-static to the best policy."""


@dataclass(frozen=True, slots=True)
class Study:
    """All that a report shows.

    Attributes:
        runs: what figures show: of each policy and kind the run of the first seed.
        replicates: for each of these runs the `run.json` of all seeds of the same policy and kind, by seed, itself
            included.
        ladder: from `count-static` to the best policy, one switch at a time; may be empty.
        sweeps: what each policy can take under an SLO; may be empty.
    """

    runs: list[Run]
    replicates: list[list[RunInfo]]
    ladder: list[Run]
    sweeps: list[Sweep]

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Self:
        """Runs of which none is another's under another seed, and nothing beside them."""
        return cls(list(runs), [[run.info] for run in runs], ladder=[], sweeps=[])


def read_study(paths: Sequence[Path]) -> Study:
    """Read run folders, folders of run folders, what `compare` writes (`seed-K/POLICY`, `attribution/NN-POLICY`), and
    folders of sweeps.

    Runs that differ in nothing but the seed, and in what a seed draws, are replicates: of them only the first seed's
    is read whole. The same seed twice is two runs, the same folder twice is one. Raises InvalidRun: a path without a
    run, one that cannot be read, or anywhere below a run that has lost its `run.json`.
    """
    paths = list({path.resolve(): path for path in reversed(paths)}.values())[::-1]
    sweeps = [path for path in paths if (path / SWEEP).exists()]
    folders = [path for path in paths if path not in sweeps or _runs_in(path)]
    found = [each for path in folders for each in _compared(path)]
    once = {folder.resolve(): (info, folder) for info, folder in reversed(found)}
    groups = _replicates(reversed(once.values()))
    return Study(
        runs=[read_run(group[0][1]) for group in groups],
        replicates=[[info for info, _ in group] for group in groups],
        ladder=[read_run(rung) for path in folders for rung in _runs_in(path / LADDER)],
        sweeps=[read_sweep(path) for path in sweeps],
    )


_Found = tuple[RunInfo, Path]


def _compared(path: Path) -> list[_Found]:
    """The run in the folder itself, or those in it, first those of the first seed. What is there of other seeds counts
    as replicates of these alone: an earlier comparison may have left more.
    """
    first = [(read_info(run), run) for run in run_folders(path)]
    settings = {_setting(info) for info, _ in first}
    others = [(read_info(run), run) for seed in sorted(path.glob("seed-*")) for run in _runs_in(seed)]
    return first + [(info, run) for info, run in others if _setting(info) in settings]


def _runs_in(folder: Path) -> list[Path]:
    """Of a comparison's own folder, which may be empty or missing, in the order of their names."""
    below = sorted(each for each in folder.glob("*") if each.is_dir())
    for each in below:
        refuse_stripped(each)
    return [each for each in below if (each / "run.json").exists()]


def _replicates(found: Iterable[_Found]) -> list[list[_Found]]:
    """Grouped in the order in which they were found, each group by seed."""
    groups: list[tuple[bytes, dict[int, _Found]]] = []
    for info, folder in found:
        setting = _setting(info)
        group = next((group for same, group in groups if same == setting and info.seed not in group), None)
        if group is None:
            groups.append((setting, group := {}))
        group[info.seed] = info, folder
    return [[group[seed] for seed in sorted(group)] for _, group in groups]


def _setting(info: RunInfo) -> bytes:
    """What runs have in common that differ in the seed alone."""
    scenario = msgspec.to_builtins(info.scenario)
    trace, inputs = scenario["trace"], scenario["inputs"]
    trace["transforms"] = [done for done in trace["transforms"] if not is_reshuffle(done)]
    drawn = ["content_hash", "over_context"]
    if trace["format"] == "generated":
        drawn += ["file_sha256", "repaired", "waiting"]
    if trace["format"] == "servegen":
        drawn += ["requests", "rows_read", "dropped", "repaired"]
        trace["transforms"] = [without_seed(done) for done in trace["transforms"]]
    for name in drawn:
        del trace[name]
    if inputs:
        del scenario["memory"]  # follows from the inputs, and in part from the requests
    if inputs and info.machine:  # measured anew whenever the engine is started
        del inputs["device"]["context_bytes"], inputs["limits"]["graph_pool_bytes"]
    return msgspec.json.encode([info.policy, info.kind, scenario], order="deterministic")
