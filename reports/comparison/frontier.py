"""The capacity of each policy under an SLO: a sentence, a table and a figure for each sweep."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...experiment import Slo
from ...records.sweep import PolicySweep, Sweep
from ..figures.frontier import DESCRIPTION, TITLE, frontier_figure
from ..judging.table import Cell, ReportTable
from ..numbers import listed, typeset
from ..page.svg import inline_svg
from .sweep_validity import fits, sweep_validity
from .validity import Answer

_HEADS = [
    ("policy", "the rule that chose the batches"),
    ("capacity", "the highest rate, in requests per second, at which enough requests kept the SLO"),
    ("kept", "share of all requests that kept the SLO at that rate"),
    ("fails at", "the lowest measured rate at which too few requests kept the SLO"),
    (
        "of best count",
        "capacity divided by that of the best count policy, with the range that the steps of the grid allow",
    ),
    ("tokens/s", "prompt and output tokens of finished requests, divided by the makespan, at capacity"),
    ("OOMs", "steps that ran out of memory at capacity, over all seeds"),
    ("trials", "number of simulations"),
]


@dataclass(frozen=True, slots=True)
class Frontier:
    """What the report shows of one sweep.

    Attributes:
        facts: name and value of what was simulated.
        validity: the answers to the questions of a critical reader.
        notes: what a reader must know about single policies.
        command: the command that made the sweep.
    """

    heading: str
    sentence: str
    svg: str
    table: ReportTable
    facts: list[tuple[str, str]]
    validity: list[Answer]
    notes: list[str]
    command: str


def frontier(sweeps: Sequence[Sweep], known: Sequence[str] = ()) -> list[Frontier] | None:
    """One section per sweep; None without sweeps. Policies that are `known` from other figures keep their look."""
    return [_section(sweep, number, known) for number, sweep in enumerate(sweeps, 1)] or None


def _section(sweep: Sweep, number: int, known: Sequence[str]) -> Frontier:
    scenario, policies = sweep.scenario, ", ".join(each.label for each in sweep.policies)
    best = _best(sweep)
    figure = frontier_figure(sweep, known, best[0].label if len(best) == 1 else None)
    return Frontier(
        heading=f"{scenario.name}: {scenario.model} on {scenario.device}",
        sentence=capacity_sentence(sweep),
        svg=inline_svg(f"frontier{number}", figure, f"{TITLE}: {policies}", DESCRIPTION),
        table=capacities(sweep),
        facts=_facts(sweep),
        validity=sweep_validity(sweep),
        notes=notes(sweep),
        command=sweep.command,
    )


def capacity_sentence(sweep: Sweep) -> str:
    """Which policy has the highest capacity, and how that compares with the best count policy."""
    best, baseline = _best(sweep), _best_count(sweep)
    if not best:
        return _no_capacity(sweep)
    verb = "keeps" if len(best) == 1 else "keep"
    text = f"{listed([each.label for each in best])} {verb} the SLO at {_most(best)}{_despite(best)}"
    if baseline is None or baseline in best:
        return f"{text}."
    if baseline.capacity is None:
        return f"{text}. The best count, {baseline.label}, keeps it at none of these rates."
    unfit = "" if fits(baseline) else ", which runs out of memory"
    reached = f"keeps it at {baseline.capacity:g}{_despite([baseline])}: {_ratio(best[0], baseline)}"
    return f"{text}. The best count, {baseline.label}{unfit}, {reached}."


def _despite(policies: Sequence[PolicySweep]) -> str:
    """The number of out-of-memory steps at these capacities, in words; empty if there are none."""
    found = " and ".join(f"{at.summary.ooms:,}" for each in policies if (at := each.at_capacity) and at.summary.ooms)
    return f" with {found} out-of-memory steps" if found else ""


def _best(sweep: Sweep) -> list[PolicySweep]:
    """The policies with the highest capacity.

    Upper bounds are considered only if there is nothing else, and so are policies that run out of memory at capacity.
    """
    contest = [each for each in sweep.policies if not each.upper_bound] or sweep.policies
    return _highest([each for each in contest if fits(each)]) or _highest(contest)


def _highest(policies: Sequence[PolicySweep]) -> list[PolicySweep]:
    most = max((each.capacity or 0 for each in policies), default=0)
    return [each for each in policies if most and each.capacity == most]


def _most(best: Sequence[PolicySweep]) -> str:
    edge = "" if all(each.first_failing for each in best) else " or more"
    return f"{best[0].capacity:g} requests/s{edge}"


def _no_capacity(sweep: Sweep) -> str:
    """The sentence if no policy keeps the SLO, or only upper bounds do."""
    bounds = _highest([each for each in sweep.policies if each.upper_bound])
    kind = "policy that an engine could run" if bounds else "policy"
    text = f"No {kind} keeps the SLO for {_required(sweep)} of the requests, not even at {sweep.rates[0]:g} requests/s"
    if not bounds:
        return f"{text}."
    names = listed([each.policy for each in bounds])
    verb = "knows the true output lengths and keeps" if len(bounds) == 1 else "know the true output lengths and keep"
    return f"{text}. {names} {verb} the SLO at {_most(bounds)}."


def notes(sweep: Sweep) -> list[str]:
    """What a reader must know about single policies, a line each."""
    out = "" if any(not fits(each) for each in _best(sweep)) else ", so it cannot win"
    ooms = [
        f"{each.label} keeps the SLO at {each.capacity:g} requests/s{_despite([each])}{out}."
        for each in sweep.policies
        if not fits(each)
    ]
    return ooms + [f"{each.label}: {note}." for each in sweep.policies for note in each.notes]


def capacities(sweep: Sweep) -> ReportTable:
    """One row per policy."""
    baseline = _best_count(sweep)
    return ReportTable(_HEADS, [_row(each, baseline, len(sweep.seeds)) for each in sweep.policies])


def _row(policy: PolicySweep, baseline: PolicySweep | None, seeds: int) -> list[Cell]:
    at, failing = policy.at_capacity, policy.first_failing
    lowest = policy.points[0].rate
    if at is None:
        reached = [Cell(f"< {lowest:g}", 0.0), Cell("-", 0.0)]
        there = [Cell("-", 0.0), Cell("-", 0.0)]
    else:
        reached = [Cell(f"{'' if failing else '>= '}{at.rate:g}", at.rate), Cell(f"{at.attainment:.1%}", at.attainment)]
        there = [
            Cell(f"{at.summary.total_tok_s:,.0f}", at.summary.total_tok_s),
            Cell(f"{at.summary.ooms:,}", at.summary.ooms),
        ]
    fails = Cell("-", float("inf")) if failing is None else Cell(f"{failing:g}", failing)
    trials = seeds * len(policy.points)
    against = Cell("-" if baseline is None else _ratio(policy, baseline), policy.capacity or 0.0)
    return [Cell(policy.label, 0.0), *reached, fails, against, *there, Cell(f"{trials:,}", trials)]


def _best_count(sweep: Sweep) -> PolicySweep | None:
    """The count policy with the highest capacity, among those that do not run out of memory there if there are any."""
    counts = [each for each in sweep.policies if each.counts_requests]
    chosen = [each for each in counts if fits(each) and each.capacity] or counts
    return max(chosen, key=lambda each: each.capacity or 0, default=None)


def _ratio(policy: PolicySweep, baseline: PolicySweep) -> str:
    """The ratio of two capacities with its range.

    A capacity lies between a rate that passed and the next rate, which failed. If no rate failed, there is one bound.
    """
    if policy is baseline or policy.capacity is None or baseline.capacity is None:
        return "-"
    low = policy.capacity / baseline.first_failing if baseline.first_failing else None
    high = policy.first_failing / baseline.capacity if policy.first_failing else None
    if low is None or high is None:
        return f">= {low:.2f}x" if low else f"<= {high:.2f}x" if high else "-"
    return f"{policy.capacity / baseline.capacity:.2f}x [{low:.2f}, {high:.2f}]"


def _required(sweep: Sweep) -> str:
    return f"{100 * sweep.attainment:g} %"


def _facts(sweep: Sweep) -> list[tuple[str, str]]:
    scenario, trace = sweep.scenario, sweep.scenario.trace
    slo = Slo(scenario.slo_ttft_s, scenario.slo_tpot_s)
    how = "every rate was measured" if sweep.every_rate else "bisection chose the rates"
    grid = f"{sweep.rates[0]:g} to {sweep.rates[-1]:g} requests/s, {len(sweep.rates):,} rates; {how}"
    return [
        ("SLO", f"{typeset(str(slo))}, for {_required(sweep)} of all requests"),
        ("requests", f"{trace.requests:,} of {trace.name} ({trace.format}), arriving as Poisson streams"),
        ("rates", grid),
        ("seeds", ", ".join(map(str, sweep.seeds))),
        ("KV pool", f"{scenario.memory.pool_blocks:,} blocks of {scenario.memory.block_tokens} tokens"),
        ("step durations", f"simulated: {scenario.step_time}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in sweep.versions.items())),
    ]
