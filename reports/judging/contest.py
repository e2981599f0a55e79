"""Which of the runs that are laid side by side compete, on which seeds, and in which order they come in."""

from collections.abc import Hashable, Sequence

import msgspec

from ...experiment import Limits
from ...records import RunInfo, ScenarioInfo
from ...records.metrics import Summary, order_by_merit


def contest(
    replicates: Sequence[Sequence[RunInfo]], summaries: Sequence[Summary], complete: Sequence[bool]
) -> list[int]:
    """Positions of those who compete, best first.

    Upper bounds do only among themselves, and runs that are incomplete or had out-of-memory steps only if there are no
    others. Simulations of what was measured do not: the measurement stands for both. Those that nobody measured
    do, even beside measurements; then it has to be said that they are predictions.
    """
    everybody = _entrants(replicates)
    whole = [i for i in everybody if complete[i]] or everybody
    compete = [i for i in whole if not summaries[i].ooms] or whole
    return [compete[i] for i in order_by_merit([summaries[i] for i in compete])]


def _entrants(replicates: Sequence[Sequence[RunInfo]]) -> Sequence[int]:
    feasible = [i for i, group in enumerate(replicates) if not group[0].upper_bound] or range(len(replicates))
    foretold = predicted(replicates)
    return [i for i in feasible if not foretold[i]] or feasible


def unlike(replicates: Sequence[Sequence[RunInfo]]) -> list[str]:
    """In what those who would compete differ beside the policy, if no figure of one can be held against another's."""
    groups = on_common_seeds([replicates[i] for i in _entrants(replicates)])
    common = set.intersection(*({info.seed for info in group} for group in groups))
    drawn = [
        {info.scenario.trace.content_hash for info in group if info.seed in common or not common} for group in groups
    ]
    given = [_circumstances(group[0].scenario) for group in groups]
    found = ["trace"] if any(each != drawn[0] for each in drawn) else []
    return found + [name for name in given[0] if len({each[name] for each in given} - {None}) > 1]


def predicted(replicates: Sequence[Sequence[RunInfo]]) -> list[bool]:
    """Of each run whether it is a simulation of what a complete real run among them measured, or one with a
    measurement's own times beside others that are not.
    """
    measured = {case_of(info) for group in replicates for info in group if info.kind == "real" and info.complete}
    found = [
        any(info.is_planned_again or (info.kind == "simulated" and case_of(info) in measured) for info in group)
        for group in replicates
    ]
    return [each and not all(found) for each in found]


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
    return info.label, scenario.trace.content_hash, scenario.model, scenario.device, _limits(scenario)


def _limits(scenario: ScenarioInfo) -> Limits | None:
    if scenario.inputs is None:
        return None
    return msgspec.structs.replace(
        scenario.inputs.limits,
        max_seqs=scenario.max_seqs,  # the device's, if none was given
        step_tokens=scenario.step_tokens,
        graph_pool_bytes=0,
        slack_bytes=0,
    )


def _circumstances(scenario: ScenarioInfo) -> dict[str, Hashable]:
    """What all runs of a comparison have in common, None where a record does not say."""
    limits = _limits(scenario)
    sizes = ("vram_bytes", "kv_budget_tokens", "kv_blocks", "block_tokens")
    return {
        "model": scenario.model,
        "device": scenario.device,
        "memory": limits and tuple(getattr(limits, name) for name in sizes),
        "limits": limits and msgspec.structs.replace(limits, **dict.fromkeys(sizes, 0)),
        "SLO": (scenario.slo_ttft_s, scenario.slo_tpot_s),
    }
