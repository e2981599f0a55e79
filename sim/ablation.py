"""From the baseline to the winner, one switch at a time, so that a gain is credited to the switch that brought it."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..csrc import PolicySpec
from ..experiment import Experiment
from ..records import read_info, read_run, write_run
from .compare import Progress, Task, make_runs
from .step_time.roofline import StepTime

GROWTH_AWARE = "growth-aware admission"
CHUNKS = "smaller prefill chunks"
PASSING_OVER = "passing over who does not fit"


@dataclass(frozen=True, slots=True)
class AblationStep:
    """A policy, and the switch in which it differs from the one before it."""

    switch: str
    policy: PolicySpec


def ablation_steps(winner: PolicySpec, baseline: PolicySpec, max_seqs: int) -> list[AblationStep]:
    """The policies from `baseline`, a count-static, to `winner` itself.

    The padding, the batch barrier and the count go first, whoever won. `max_seqs` is the engine's own cap on how many
    run, which is left when the policy has none. Rungs that change nothing are left out.

    Raises ValueError: the winner sees true output lengths, so that no switch leads to it.
    """
    if winner.build().sees_lengths:
        raise ValueError(f"policy '{winner}' sees true output lengths: it is an upper bound, not a winner")
    rungs = [AblationStep("baseline", baseline)]
    if winner.id == baseline.id:
        return rungs
    for rung in _steps(winner, PolicySpec("count-continuous").with_count(int(baseline.values["n"])), max_seqs):
        if _same(rung.policy, rungs[-1].policy):
            rungs[-1] = AblationStep(rungs[-1].switch, rung.policy)  # the winner's own wording comes last, and stands
        else:
            rungs.append(rung)
    return rungs


def _same(one: PolicySpec, other: PolicySpec) -> bool:
    return one.id == other.id and one.values == other.values


def _steps(winner: PolicySpec, continuous: PolicySpec, max_seqs: int) -> list[AblationStep]:
    unpadded = AblationStep("padding removed", continuous.with_parameters(barrier=1))
    if winner.id == "ffd-static":
        return [unpadded, AblationStep("bins of promised memory", winner)]
    joined = AblationStep("batch barrier removed", continuous)
    if winner.id == "count-continuous":
        barrier = [] if winner.values["barrier"] else [joined]
        return [unpadded, *barrier, AblationStep("another count", winner)]
    uncapped = AblationStep("count cap removed", continuous.with_count(max_seqs))
    aware = AblationStep("memory-aware", winner if winner.id == "paged" else PolicySpec("paged"))
    return [unpadded, joined, uncapped, aware, *_beyond_memory(winner)]


def _beyond_memory(winner: PolicySpec) -> list[AblationStep]:
    """What the winner has that `paged` has not."""
    match winner.id:
        case "paged":
            return []
        case "skyline":
            admission = "eviction of the cheapest" if winner.values["eager"] else GROWTH_AWARE
            return [
                AblationStep(admission, winner.with_parameters(order=0, window=1, chunk=0, swap_gib=0)),
                AblationStep("order", winner.with_parameters(chunk=0, swap_gib=0)),
                AblationStep(CHUNKS, winner.with_parameters(swap_gib=0)),
                AblationStep("eviction to host memory", winner),
            ]
        case "first-fit":
            return [AblationStep(GROWTH_AWARE, winner.with_parameters(window=1)), AblationStep(PASSING_OVER, winner)]
        case "ffd":
            in_order = PolicySpec("first-fit", winner.parameters)
            return [*_beyond_memory(in_order), AblationStep("longest first", winner)]
        case "sarathi":
            return [AblationStep(CHUNKS, winner)]
        case "no-evict" | "token-budget":
            return [AblationStep("reservation of max_new_tokens", winner)]
        case "orca":
            return [AblationStep("reservation of the longest", winner)]
        case _:
            return [AblationStep(GROWTH_AWARE, winner)]


def run_ablation(
    experiment: Experiment,
    rungs: Sequence[AblationStep],
    folder: Path,
    *,
    step_time: StepTime | None = None,
    reuse: Mapping[str, Path],
    workers: int | None = None,
    command: str = "",
    on_progress: Progress | None = None,
) -> list[Path]:
    """Write the run of each rung into FOLDER/NN-slug and return these folders; `step_time` as in `simulate`.

    `reuse` has, by a policy's text, runs of this very experiment that are there already: they are written again instead
    of made again. On Ctrl-C as in `compare`.
    """
    remove_ablation(folder)
    tasks = [
        Task(rung.policy, f"{number:02}-{rung.policy.slug}", switch=rung.switch) for number, rung in enumerate(rungs)
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
    """Delete the rungs that an earlier ladder left in FOLDER: they explain another result."""
    for rung in sorted(each.parent for each in folder.glob("*/run.json")):
        if read_info(rung).switch:
            shutil.rmtree(rung)
