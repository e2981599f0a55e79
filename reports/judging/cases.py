"""Which runs belong to the same case: replicates on common seeds, and a simulation beside its measurement."""

from collections.abc import Hashable, Sequence

import msgspec

from ...experiment import Limits
from ...records import RunInfo, ScenarioInfo


def case_of(info: RunInfo) -> Hashable:
    """What a real run and a simulation of it have in common: policy, requests, model, device and limits.

    What an engine measures when it starts is left out.
    """
    scenario = info.scenario
    return info.label, scenario.trace.content_hash, scenario.model, scenario.device, limits_of(scenario)


def limits_of(scenario: ScenarioInfo) -> Limits | None:
    """The limits of a run without what an engine measures when it starts; None for an old record without them."""
    if scenario.inputs is None:
        return None
    return msgspec.structs.replace(
        scenario.inputs.limits,
        max_seqs=scenario.max_seqs,  # the device's limit if the user gave none
        step_tokens=scenario.step_tokens,
        graph_pool_bytes=0,
        slack_bytes=0,
    )


def are_simulations_of_measured(replicates: Sequence[Sequence[RunInfo]]) -> list[bool]:
    """For each group of replicates, whether it only repeats a measurement, and so does not compete.

    This is so if a complete real run in another group is of the same case, or if the group is a parity check. If all
    groups are so, all of them compete.
    """
    measured = {case_of(info) for group in replicates for info in group if info.kind == "real" and info.complete}
    found = [
        any(info.is_parity_check or (info.kind == "simulated" and case_of(info) in measured) for info in group)
        for group in replicates
    ]
    return [each and not all(found) for each in found]


def on_common_seeds(replicates: Sequence[Sequence[RunInfo]]) -> list[list[RunInfo]]:
    """For each group of replicates, the runs on the seeds that all groups completed.

    A seed is easy or hard for every policy, so only common seeds are compared. A group without a complete run keeps
    all its seeds. If the others have no common seed, every group keeps all its seeds.
    """
    complete = [{info.seed for info in group if info.complete} for group in replicates]
    common = set.intersection(*filter(None, complete)) if any(complete) else set()
    return [
        [info for info in group if info.seed in common] if common & seeds else list(group)
        for group, seeds in zip(replicates, complete, strict=True)
    ]
