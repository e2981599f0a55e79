"""Which of the runs that are laid side by side compete, on which seeds, and in which order they come in."""

from collections.abc import Hashable, Sequence

import msgspec

from ..metrics import Summary, order_by_merit
from ..records import RunInfo


def contest(
    replicates: Sequence[Sequence[RunInfo]], summaries: Sequence[Summary], complete: Sequence[bool]
) -> list[int]:
    """Positions of those who compete, best first.

    Upper bounds do only among themselves, and runs that are incomplete or had out-of-memory steps only if there are no
    others. Simulations of what was measured too do not: the measurement stands for both. Those that nobody measured
    do, even beside measurements; then it has to be said that they are predictions.
    """
    feasible = [i for i, group in enumerate(replicates) if not group[0].upper_bound] or range(len(replicates))
    foretold = predicted(replicates)
    everybody = [i for i in feasible if not foretold[i]]
    whole = [i for i in everybody if complete[i]] or everybody
    compete = [i for i in whole if not summaries[i].ooms] or whole
    return [compete[i] for i in order_by_merit([summaries[i] for i in compete])]


def predicted(replicates: Sequence[Sequence[RunInfo]]) -> list[bool]:
    """Of each run whether it is a simulation of what a complete real run among them measured."""
    measured = {case_of(info) for group in replicates for info in group if info.kind == "real" and info.complete}
    return [any(info.kind == "simulated" and case_of(info) in measured for info in group) for group in replicates]


def on_common_seeds(replicates: Sequence[Sequence[RunInfo]]) -> list[list[RunInfo]]:
    """Of each run the seeds on which all that came to their end did so: a seed is easy or hard for everybody. A run
    that never came to its end keeps its own seeds, and if no seed is common to the others, so do they.
    """
    complete = [{info.seed for info in group if info.complete} for group in replicates]
    common = set.intersection(*filter(None, complete)) if any(complete) else set()
    return [
        [info for info in group if info.seed in common] if common & seeds else list(group)
        for group, seeds in zip(replicates, complete, strict=True)
    ]


def case_of(info: RunInfo) -> Hashable:
    """What a real run and a simulation of it have in common: policy, requests, model, device and limits, but for what
    an engine measures of itself at its start.
    """
    scenario = info.scenario
    limits = scenario.inputs and msgspec.structs.replace(
        scenario.inputs.limits,
        max_seqs=scenario.max_seqs,  # the device's, if none was given
        step_tokens=scenario.step_tokens,
        graph_pool_bytes=0,
        slack_bytes=0,
    )
    return info.label, scenario.trace.content_hash, scenario.model, scenario.device, limits
