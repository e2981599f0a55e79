"""Can a sweep be trusted? The questions of a critical reader, each with its answer."""

from ...records.sweep import PolicySweep, Sweep
from ..numbers import ENOUGH_FOR_P99
from .validity import Answer, Trust, simulated_as


def sweep_validity(sweep: Sweep) -> list[Answer]:
    """All answers for a sweep."""
    return [simulated_as(sweep.scenario.step_time), _seeds(sweep), _sample(sweep), _edges(sweep), _memory(sweep)]


def fits(policy: PolicySweep) -> bool:
    """Whether the policy ran without out-of-memory steps at its capacity, if it has one."""
    return policy.at_capacity is None or not policy.at_capacity.summary.ooms


def _seeds(sweep: Sweep) -> Answer:
    if len(sweep.seeds) == 1:
        return Answer(Trust.INCONCLUSIVE, f"One seed ({sweep.seeds[0]}): another seed may give another capacity.")
    seeds = ", ".join(map(str, sweep.seeds))
    return Answer(Trust.PASS, f"{len(sweep.seeds)} seeds ({seeds}), the same requests for every policy.")


def _sample(sweep: Sweep) -> Answer:
    requests = sweep.scenario.trace.requests
    if requests < ENOUGH_FOR_P99:
        text = f"Only {requests:,} requests at each rate and seed: a queue has little time to grow."
        return Answer(Trust.INCONCLUSIVE, text)
    return Answer(Trust.PASS, f"{requests:,} requests at each rate and seed.")


def _edges(sweep: Sweep) -> Answer:
    """Whether every capacity lies inside the grid."""
    below = [each.label for each in sweep.policies if each.capacity is None]
    above = [each.label for each in sweep.policies if each.first_failing is None]
    ends = ((below, f"below {sweep.rates[0]:g}"), (above, f"above {sweep.rates[-1]:g}"))
    found = [f"{edge} requests/s for {', '.join(labels)}" for labels, edge in ends if labels]
    if found:
        text = f"The grid is too narrow: capacity may lie {' and '.join(found)}. Use a wider --rate."
        return Answer(Trust.INCONCLUSIVE, text)
    return Answer(
        Trust.PASS, "All capacities lie inside the grid, each between a rate that passed and a rate that failed."
    )


def _memory(sweep: Sweep) -> Answer:
    unfit = [each.label for each in sweep.policies if not fits(each)]
    if unfit:
        return Answer(Trust.INCONCLUSIVE, f"Ran out of memory at its capacity: {', '.join(unfit)}.")
    return Answer(Trust.PASS, "No policy ran out of memory at its capacity.")
