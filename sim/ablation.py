"""The way from the baseline to the winner, one switch at a time, so that each gain is credited to one switch.

The way is derived from `Policy.switches()`. `_way` lists the switches in the order in which they are turned, with the
names that reports show. If no policy of the catalogue has exactly the switches that are turned after an entry, the
entry is joined with the next one, under the name of the first. A new policy therefore needs no code here, unless it
brings a new switch or a new kind of admission. Then there is an error that says so.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

from ..csrc import PolicySpec, policy_catalogue
from ..errors import NoAblation

Switches = Mapping[str, str | int | bool]

_ADMISSIONS = {
    ("prompt-fits", "max-new-tokens"): "memory-aware",
    ("peak-reserved", "max-new-tokens"): "reservation of max_new_tokens",
    ("peak-reserved", "longest"): "reservation of the longest",
    ("peak-reserved", "predicted"): "growth-aware admission",
    ("token-ratio", "max-new-tokens"): "growth-aware admission",
    ("future-peak", "max-new-tokens"): "growth-aware admission",
    ("skyline", "max-new-tokens"): "growth-aware admission",
}
_ORDERS = {"longest-first": "longest first", "shortest-first": "shortest first", "smallest-first": "smallest first"}
_VICTIMS = {"cheapest": "eviction of the cheapest", "least-output": "eviction of the least output"}
_MIXINGS = {"decode-first": "decodes before prefills", "prefill-first": "prefill in steps of its own"}

_QUANTITIES = {"timeout_ns", "watermark_ppm", "overflow_ppm", "age_ns", "ratio_ppm"}
"""Switches that only tune another one. Each is turned together with the switch that it tunes."""


@dataclass(frozen=True, slots=True)
class AblationStep:
    """A policy, and the name of the switch in which it differs from the step before."""

    switch: str
    policy: PolicySpec


@dataclass(frozen=True, slots=True)
class _Entry:
    """Switches that are turned together.

    Attributes:
        label: the name that reports show; called only if one of the switches changes.
        names: switches that get the winner's value.
        values: switches that get another value.
        is_common: whether the ways to all winners have this entry. Then each policy of the catalogue may follow it;
            otherwise only the winner's relatives may, since other policies cannot be given the winner's parameters.
    """

    label: Callable[[], str]
    names: tuple[str, ...] = ()
    values: Switches = field(default_factory=dict)
    is_common: bool = False


def ablation_steps(winner: PolicySpec, baseline: PolicySpec, max_seqs: int) -> list[AblationStep]:
    """The policies from `baseline`, a static policy, to `winner` itself.

    Padding, batch barrier and count are removed first, whichever policy won. Entries that change nothing are left out.

    Args:
        max_seqs: the engine's cap on running requests, which still holds when the policy sets none.

    Raises:
        NoAblation: the winner sees true output lengths, differs in a switch that is not in the table, or has a value
            of a switch that the table does not lead to.
    """
    if winner.build().sees_lengths:
        raise NoAblation(f"policy '{winner}' sees true output lengths: it is an upper bound and has no ablation")
    steps = [AblationStep("baseline", baseline)]
    if winner.id == baseline.id:
        return steps
    here, goal = (_switches(policy, max_seqs) for policy in (baseline, winner))
    _check_names(winner, here, goal)
    relatives = [(policy, _switches(policy, max_seqs)) for policy in _relatives(winner)]
    common = [(policy, _switches(policy, max_seqs)) for policy in _common_policies(winner, baseline, max_seqs)]
    label = ""
    for entry in _way(winner, goal):
        turned = {**here, **{name: goal[name] for name in entry.names}, **entry.values}
        if turned == here:
            continue
        name = entry.label()
        here, label = turned, label or name
        candidates = relatives + common if entry.is_common else relatives
        found = next((policy for policy, switches in candidates if switches == here), None)
        if found is not None:
            steps.append(AblationStep(label, found))
            label = ""
    if here != goal:
        raise NoAblation(f"policy '{winner}' {_differences(here, goal)}: add the way there to sim/ablation.py")
    # Only quantities may still differ: they belong to the last step.
    return [*steps[:-1], AblationStep(steps[-1].switch, winner)]


def _way(winner: PolicySpec, goal: Switches) -> Iterator[_Entry]:
    """The table: every switch, in the order in which switches are turned."""

    def named(labels: Mapping[str, str], switch: str) -> Callable[[], str]:
        return lambda: _label(winner, labels, switch, goal[switch])

    def admission() -> str:
        key = (goal["admission"], goal["promise"])
        if key not in _ADMISSIONS:
            text = f"admission '{key[0]}' with promise '{key[1]}'"
            raise NoAblation(f"policy '{winner}': {text} has no name in sim/ablation.py: add one")
        return _ADMISSIONS[key]

    yield _Entry(lambda: "padding removed", values={"batching": "continuous", "barrier": True}, is_common=True)
    if goal["batching"] == "bins":  # bins replace the count, and run until their last request ends, as with a barrier
        names = ("batching", "barrier", "admission", "promise", "max_requests")
        yield _Entry(lambda: "bins of promised memory", names)
    yield _Entry(lambda: "batch barrier removed", ("barrier",), is_common=True)
    count = "another count" if winner.counts_requests else "count cap removed"
    yield _Entry(lambda: count, ("max_requests",), is_common=True)
    if goal["batching"] == "continuous" and goal["admission"] != "blind":
        yield _Entry(lambda: "memory-aware", values={"admission": "prompt-fits"}, is_common=True)
    yield _Entry(admission, ("admission", "promise", "holds_promise"))
    yield _Entry(named(_VICTIMS, "victim"), ("victim",))
    if goal["admission"] == "peak-reserved":  # bin packing: first-fit decreasing is first-fit and an order
        yield _Entry(lambda: "passing over who does not fit", ("window",))
        yield _Entry(named(_ORDERS, "order"), ("order",))
    else:
        yield _Entry(lambda: "order", ("order", "window"))
    yield _Entry(lambda: "smaller prefill chunks", ("step_tokens", "chunk_tokens"))
    yield _Entry(named(_MIXINGS, "mixing"), ("mixing",))
    yield _Entry(lambda: "eviction to host memory", ("swap_bytes",))


_NAMES = {
    *("batching", "barrier", "max_requests", "admission", "promise", "holds_promise", "victim", "order", "window"),
    *("step_tokens", "chunk_tokens", "mixing", "swap_bytes"),
}
"""The switches that `_way` turns."""


def _label(winner: PolicySpec, labels: Mapping[str, str], switch: str, value: str | int | bool) -> str:
    if not isinstance(value, str) or value not in labels:
        raise NoAblation(f"policy '{winner}': {switch} '{value}' has no name in sim/ablation.py: add one")
    return labels[value]


def _switches(policy: PolicySpec, max_seqs: int) -> dict[str, str | int | bool]:
    """The switches that are turned by themselves, in one form for policies that do the same.

    A policy that may not pass over a request looks at one waiting request at a time: its window is 1.
    """
    switches = {name: value for name, value in policy.build().switches().items() if name not in _QUANTITIES}
    if not switches.pop("overtake"):
        switches["window"] = 1
    switches["max_requests"] = switches["max_requests"] or max_seqs
    return switches


def _check_names(winner: PolicySpec, here: Switches, goal: Switches) -> None:
    unknown = [name for name in goal if name not in _NAMES and here.get(name) != goal[name]]
    if unknown:
        raise NoAblation(
            f"policy '{winner}' differs from the baseline in {', '.join(unknown)}, which the table in sim/ablation.py "
            "does not have: add an entry"
        )


def _differences(here: Switches, goal: Switches) -> str:
    return ", ".join(f"has {name} '{goal[name]}', not '{here[name]}'" for name in goal if here[name] != goal[name])


def _relatives(winner: PolicySpec) -> Iterator[PolicySpec]:
    """The policies with the winner's parameters, each parameter at the winner's value or at its lowest value.

    The winner itself comes first, and its own values come before the lowest ones.
    """
    for info in sorted(policy_catalogue(), key=lambda info: info.id != winner.id):
        if [parameter.name for parameter in info.parameters] == [*winner.values]:
            yield from _variants(
                PolicySpec(info.id, winner.parameters),
                {parameter.name: (winner.values[parameter.name], parameter.lowest) for parameter in info.parameters},
            )


def _common_policies(winner: PolicySpec, baseline: PolicySpec, max_seqs: int) -> Iterator[PolicySpec]:
    """The policies of the catalogue with their defaults, but with each count of interest, and each flag off and on."""
    counts = [baseline.values["n"], max_seqs, *([winner.values["n"]] if winner.counts_requests else [])]
    for info in policy_catalogue():
        choices: dict[str, Iterable[float]] = {}
        for parameter in info.parameters:
            if parameter.name == "n":
                choices["n"] = counts
            elif (parameter.lowest, parameter.highest) == (0, 1):
                choices[parameter.name] = (0, 1)
        yield from _variants(PolicySpec(info.id), choices)


def _variants(policy: PolicySpec, choices: Mapping[str, Iterable[float]]) -> Iterator[PolicySpec]:
    """The policy with each combination of the parameters' choices."""
    for values in product(*choices.values()):
        yield policy.with_parameters(**dict(zip(choices, values, strict=True)))
