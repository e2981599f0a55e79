"""The way from the baseline to the winner, one switch at a time, so that each gain is credited to one switch.

The way is derived from `Policy.switches()`. `_way` lists the switches in the order in which they are turned, with the
names that reports show. If no policy of the catalogue has exactly the switches that are turned after an entry, the
entry is joined with the next one, and the step has the names of both. A new policy therefore needs no code here, unless
it brings a new switch or a new value of a switch. Then there is an error that says so.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

from ..csrc import PolicySpec, policy_catalogue
from ..errors import InvalidScenario, NoAblation

Value = str | int | bool
Switches = Mapping[str, Value]

_ADMISSIONS: Mapping[Value, str] = {
    "prompt-fits, max-new-tokens": "memory-aware",
    "peak-reserved, max-new-tokens": "reservation of max_new_tokens",
    "peak-reserved, longest": "reservation of the longest",
    "peak-reserved, predicted": "growth-aware admission",
    "token-ratio, max-new-tokens": "growth-aware admission",
    "future-peak, max-new-tokens": "growth-aware admission",
    "skyline, max-new-tokens": "growth-aware admission",
}
"""Names of an admission and its promise."""

_BINS: Mapping[Value, str] = {"peak-reserved, max-new-tokens": "bins of promised memory"}
_ORDERS: Mapping[Value, str] = {
    "arrival": "arrival order",
    "longest-first": "longest first",
    "shortest-first": "shortest first",
    "smallest-first": "smallest first",
}
_VICTIMS: Mapping[Value, str] = {
    "newest": "eviction of the newest",
    "cheapest": "eviction of the cheapest",
    "least-output": "eviction of the least output",
}
_MIXINGS: Mapping[Value, str] = {
    "running-first": "running requests first",
    "decode-first": "decodes before prefills",
    "prefill-first": "prefill in steps of its own",
}
_OVERTAKING: Mapping[Value, str] = {True: "smaller requests may overtake", False: "no request may overtake"}
_HOLDING: Mapping[Value, str] = {True: "blocks taken at admission", False: "blocks taken as they are filled"}

_PREDICTING = {"peak-reserved, predicted", "future-peak, max-new-tokens", "skyline, max-new-tokens"}
"""The admissions that use `overflow_ppm`."""

_ADMISSION_QUANTITIES = ("watermark_ppm", "overflow_ppm", "ratio_ppm")
_NEVER = 2**63 - 1  # `Policy::kNever`


@dataclass(frozen=True, slots=True)
class AblationStep:
    """A policy, and the name of the switch in which it differs from the step before.

    Several names are joined with " + " if no policy of the catalogue is between the two.
    """

    switch: str
    policy: PolicySpec


@dataclass(frozen=True, slots=True)
class _Entry:
    """Switches that are turned together.

    Attributes:
        label: the name that reports show; called only if one of the switches changes. Raises NoAblation if the table
            has no name for the value.
        names: switches that get the winner's value.
        values: switches that get another value.
        quantities: numbers that tune these switches. They get the winner's value together with the switches if a
            policy has both; otherwise, a later entry turns them under a name of their own.
        is_common: whether the ways to all winners have this entry. Then each policy of the catalogue may follow it;
            otherwise only the winner's relatives may, since other policies cannot be given the winner's parameters.
    """

    label: Callable[[], str]
    names: tuple[str, ...] = ()
    values: Switches = field(default_factory=dict)
    quantities: tuple[str, ...] = ()
    is_common: bool = False

    def turned(self, here: Switches, goal: Switches) -> tuple[Switches, Switches]:
        """The switches after this entry: with its quantities, and without them."""
        alone = {**here, **{name: goal[name] for name in self.names}, **self.values}
        return {**alone, **{name: goal[name] for name in self.quantities}}, alone


def ablation_steps(winner: PolicySpec, baseline: PolicySpec, max_seqs: int) -> list[AblationStep]:
    """The policies from `baseline`, a static policy, to `winner` itself.

    Padding, batch barrier and count are removed first, whichever policy won. Entries that change nothing are left out.

    Args:
        max_seqs: the engine's cap on running requests, which still holds when the policy sets none.

    Raises:
        NoAblation: the winner sees true output lengths, differs in a switch that is not in the table, or has a value
            of a switch that the table does not name or does not lead to.
    """
    if winner.build().sees_lengths:
        raise NoAblation(f"policy '{winner}' sees true output lengths: it is an upper bound and has no ablation")
    here: Switches = _switches(baseline, max_seqs)
    goal: Switches = _switches(winner, max_seqs)
    _check_names(winner, here, goal)
    relatives = [(winner, goal), *_built(_relatives(winner), max_seqs)]
    counted = _common_policies(here["max_requests"], goal["max_requests"])
    common = [(winner, goal), *_built(counted, max_seqs), *relatives]
    steps = [AblationStep("baseline", baseline)]
    labels: list[str] = []
    for entry in _way(winner, goal):
        whole, alone = entry.turned(here, goal)
        if alone == here:
            continue
        labels.append(entry.label())
        candidates = common if entry.is_common else relatives
        found = next(((policy, each) for each in (whole, alone) if (policy := _policy_with(each, candidates))), None)
        here = found[1] if found else whole
        if found:
            steps.append(AblationStep(" + ".join(labels), found[0]))
            labels = []
    if here != goal:
        raise NoAblation(f"policy '{winner}' {_differences(here, goal)}: add the way there to sim/ablation.py")
    return steps


def _way(winner: PolicySpec, goal: Switches) -> Iterator[_Entry]:
    """The table: every switch, in the order in which switches are turned. Quantities follow their switch."""

    def named(names: Mapping[Value, str], switch: str) -> Callable[[], str]:
        return lambda: _label(winner, names, switch, goal[switch])

    yield from _batching_entries(winner, goal)
    if goal["batching"] == "continuous" and not str(goal["admission"]).startswith("blind"):
        known = {"admission": "prompt-fits, max-new-tokens"}
        quantities = _ADMISSION_QUANTITIES if goal["admission"] == known["admission"] else ()
        yield _Entry(lambda: "memory-aware", values=known, quantities=quantities, is_common=True)
    yield _Entry(named(_ADMISSIONS, "admission"), ("admission",), quantities=_ADMISSION_QUANTITIES)
    yield _Entry(lambda: f"watermark {_percent(goal['watermark_ppm'])}", ("watermark_ppm",))
    yield _Entry(lambda: f"accepted overflow {_percent(goal['overflow_ppm'])}", ("overflow_ppm",))
    yield _Entry(lambda: f"token ratio {_percent(goal['ratio_ppm'])}", ("ratio_ppm",))
    yield _Entry(named(_HOLDING, "holds_promise"), ("holds_promise",))
    yield _Entry(named(_VICTIMS, "victim"), ("victim",))
    if goal["overtake"]:
        yield _Entry(named(_OVERTAKING, "overtake"), ("overtake", "window"), quantities=("age_ns",))
    yield _Entry(named(_ORDERS, "order"), ("order",), quantities=("window", "age_ns"))
    yield _Entry(named(_OVERTAKING, "overtake"), ("overtake",))
    yield _Entry(lambda: f"window of {goal['window'] or 'all'} requests", ("window",))
    yield _Entry(lambda: _age(goal["age_ns"]), ("age_ns",))
    yield _Entry(lambda: "smaller prefill chunks", ("step_tokens", "chunk_tokens"))
    yield _Entry(named(_MIXINGS, "mixing"), ("mixing",))
    yield _Entry(lambda: "eviction to host memory", ("swap_bytes",))


def _batching_entries(winner: PolicySpec, goal: Switches) -> Iterator[_Entry]:
    """The entries that change how batches are formed and how many requests they have."""
    if goal["batching"] != "padded":
        unpadded: Switches = {"batching": "continuous", "barrier": True, "timeout_ns": 0}
        yield _Entry(lambda: "padding removed", values=unpadded, is_common=True)
    if goal["batching"] == "bins":  # bins replace the count, and run until their last request ends, as with a barrier
        yield _Entry(
            lambda: _label(winner, _BINS, "admission of bins", goal["admission"]),
            ("batching", "barrier", "admission", "max_requests", "window"),
            quantities=_ADMISSION_QUANTITIES,
        )
    barrier = "batch barrier" if goal["barrier"] else "batch barrier removed"
    yield _Entry(lambda: barrier, ("barrier",), is_common=True)
    count = "another count" if winner.build().switches()["max_requests"] else "count cap removed"
    yield _Entry(lambda: count, ("max_requests",), is_common=True)
    yield _Entry(lambda: f"timeout {_seconds(goal['timeout_ns'])}", ("timeout_ns",), is_common=True)


_NAMES = {
    *("batching", "barrier", "max_requests", "timeout_ns", "admission", "holds_promise", "victim", "order", "overtake"),
    *("window", "step_tokens", "chunk_tokens", "mixing", "swap_bytes", "watermark_ppm", "overflow_ppm", "ratio_ppm"),
    "age_ns",
}
"""The switches that `_way` turns."""


def _label(winner: PolicySpec, names: Mapping[Value, str], switch: str, value: Value) -> str:
    if value not in names:
        raise NoAblation(f"policy '{winner}': {switch} '{value}' has no name in sim/ablation.py: add one")
    return names[value]


def _percent(ppm: Value) -> str:
    return f"{int(ppm) / 10_000:g} %"


def _seconds(ns: Value) -> str:
    return f"{int(ns) / 1e9:g} s"


def _age(ns: Value) -> str:
    return "no age limit" if ns == _NEVER else f"age limit {_seconds(ns)}"


def _switches(policy: PolicySpec, max_seqs: int) -> dict[str, Value]:
    """The switches of a policy, in one form for policies that do the same.

    The admission and its promise are one switch. These values have no effect, and are replaced:

    - A window of 1 has no request that could overtake.
    - In arrival order, without overtaking, the window is 1 (`window_of` in state.cpp), and no age matters.
    - Only padded batches have a timeout, and only predictions can overflow.
    """
    switches = dict(policy.build().switches())
    switches["admission"] = f"{switches['admission']}, {switches.pop('promise')}"
    switches["max_requests"] = switches["max_requests"] or max_seqs
    switches["overtake"] = bool(switches["overtake"]) and switches["window"] != 1
    if switches["order"] == "arrival" and not switches["overtake"]:
        switches["age_ns"] = _NEVER
        if switches["batching"] != "bins":
            switches["window"] = 1
    if switches["batching"] != "padded":
        switches["timeout_ns"] = 0
    if switches["admission"] not in _PREDICTING:
        switches["overflow_ppm"] = 0
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


_Candidates = Iterable[tuple[PolicySpec, Switches]]


def _policy_with(switches: Switches, candidates: _Candidates) -> PolicySpec | None:
    return next((policy for policy, each in candidates if each == switches), None)


def _built(policies: Iterable[PolicySpec], max_seqs: int) -> Iterator[tuple[PolicySpec, Switches]]:
    """The policies with their switches. A policy whose parameters do not accept a value is left out."""
    for policy in policies:
        try:
            yield policy, _switches(policy, max_seqs)
        except InvalidScenario:
            continue


def _relatives(winner: PolicySpec) -> Iterator[PolicySpec]:
    """The policies with the winner's parameters, each parameter at the winner's value or at its lowest value.

    Policies of the winner's id come first, and the winner's values come before the lowest ones.
    """
    for info in sorted(policy_catalogue(), key=lambda info: info.id != winner.id):
        if [parameter.name for parameter in info.parameters] == [*winner.values]:
            yield from _variants(
                PolicySpec(info.id, winner.parameters),
                {parameter.name: (winner.values[parameter.name], parameter.lowest) for parameter in info.parameters},
            )


def _common_policies(*counts: Value) -> Iterator[PolicySpec]:
    """The policies of the catalogue with their defaults, but with each of these counts, and each flag off and on.

    A count is always part of the policy's text, also if it is the default: it names the run's folder.
    """
    for info in policy_catalogue():
        flags = {
            parameter.name: (0, 1)
            for parameter in info.parameters
            if parameter.whole and (parameter.lowest, parameter.highest) == (0, 1)
        }
        policy = PolicySpec(info.id)
        counted = [policy.with_count(int(n)) for n in counts] if policy.counts_requests else [policy]
        for each in counted:
            yield from _variants(each, flags)


def _variants(policy: PolicySpec, choices: Mapping[str, Iterable[float]]) -> Iterator[PolicySpec]:
    """The policy with each combination of the parameters' choices."""
    for values in product(*choices.values()):
        yield policy.with_parameters(**dict(zip(choices, values, strict=True)))
