"""Simulates the steps of an ablation, one run folder each."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..experiment import Experiment
from ..records import read_info, read_run, write_run
from .ablation import AblationStep
from .step_time import StepTime
from .tasks import Progress, Task, make_runs


def run_ablation(
    experiment: Experiment,
    steps: Sequence[AblationStep],
    folder: Path,
    *,
    step_time: StepTime | None = None,
    reuse: Mapping[str, Path],
    workers: int | None = None,
    command: str = "",
    on_progress: Progress | None = None,
) -> list[Path]:
    """Write the run of each step into FOLDER/NN-slug and return these folders.

    Runs of an earlier ablation in FOLDER are removed first. Ctrl-C has the same effect as in `compare`.

    Args:
        step_time: as in `simulate`.
        reuse: run folders of this very experiment that exist already, by the text of their policy. They are copied
            instead of simulated again.
        workers: simulations at a time; None: one for each core.
    """
    remove_ablation(folder)
    tasks = [
        Task(step.policy, f"{number:02}-{step.policy.slug}", switch=step.switch) for number, step in enumerate(steps)
    ]
    missing = [task for task in tasks if str(task.policy) not in reuse]
    make_runs(
        [experiment],
        missing,
        folder,
        step_time=step_time,
        workers=min(workers or os.cpu_count() or 1, len(missing) or 1),
        command=command,
        on_progress=on_progress,
    )
    for task in tasks:
        if task not in missing:
            run = read_run(reuse[str(task.policy)])
            run.info.switch = task.switch
            write_run(folder / task.folder, run)
    return [folder / task.folder for task in tasks]


def remove_ablation(folder: Path) -> None:
    """Delete the runs of an earlier ablation in FOLDER: they explain another result. Other runs stay."""
    for step in sorted(each.parent for each in folder.glob("*/run.json")):
        if read_info(step).switch:
            shutil.rmtree(step)
