"""From the arguments of a Python function to an experiment and policies."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from sys import float_info

from ...csrc import PolicySpec, parse_policies, parse_policy
from ...errors import InvalidScenario, InvalidTrace, as_given
from ...experiment import Experiment, Limits, Slo, build_experiment
from ...workloads import (
    Trace,
    are_drawn,
    have_users,
    load_device,
    model_named,
    number_within,
    reshuffled,
    scale_rate,
    whole_within,
    with_arrivals,
)
from ..defaults import MOST_SEED
from ..slo import parse_slo

HOW_TO_READ = (
    "wg.read_trace(path) reads a file, wg.Trace.from_dataframe(df, arrival=..., prompt=..., output=..., unit=...) "
    "takes a DataFrame"
)
"""What makes a Trace of what one has."""


def experiment_of(
    trace: Trace,
    *,
    model: str,
    device: str,
    limits: Limits | None,
    slo: Slo | str | None,
    seed: int,
    arrivals: str = "trace",
    rate_scale: float = 1.0,
) -> Experiment:
    """The experiment that the arguments describe. Raises WarpGroupError: an argument is wrong."""
    if not isinstance(trace, Trace):
        raise InvalidTrace(f"expected a Trace, not {_kind(trace)}: {HOW_TO_READ}")
    check_type("limits", limits, (Limits, type(None)), "wg.Limits(...)")
    check_type("slo", slo, (Slo, str, type(None)), "a text such as 'ttft=10s,tpot=100ms', or wg.Slo(...)")
    check_type("model", model, (str, Path), "a name of `warpgroup models`, or a folder")
    check_type("device", device, (str,), "a name of `warpgroup devices`")
    check_type("arrivals", arrivals, (str,), "a text such as 'trace' or 'poisson:2'")
    seed = whole_within("seed", seed, 0, MOST_SEED)
    rate_scale = number_within("rate_scale", rate_scale, None, float_info.max)
    if have_users(arrivals) and rate_scale != 1:
        raise InvalidScenario(
            f"rate_scale does not apply to arrivals '{arrivals}': a user sends a request when the last one is "
            "answered; change the number of users"
        )
    return build_experiment(
        scale_rate(with_arrivals(trace, arrivals, seed), rate_scale),
        model_named(str(model)),
        load_device(device),
        limits=limits,
        slo=parse_slo(slo, Slo()) if isinstance(slo, str) else slo,
        seed=seed,
        arrivals=arrivals,
        rate_scale=rate_scale,
    )


def under_seeds(trace: Trace, experiment: Experiment, seeds: int) -> list[Experiment]:
    """The experiment, and the same under the seeds that follow its own.

    Arrivals that are drawn are drawn again. If all times come from the trace, its requests are reshuffled over them.
    """
    seeds = whole_within("seeds", seeds, 1)
    others = []
    for seed in range(experiment.seed + 1, experiment.seed + seeds):
        if are_drawn(experiment.arrivals):
            requests = scale_rate(with_arrivals(trace, experiment.arrivals, seed), experiment.rate_scale)
        else:
            requests = reshuffled(experiment.trace, seed)
        others.append(replace(experiment, trace=requests, seed=seed))
    return [experiment, *others]


def policy_of(policy: str | PolicySpec) -> PolicySpec:
    """One policy, such as 'ffd(margin=0.01)'. Raises UnknownName, InvalidScenario."""
    check_type("policy", policy, (str, PolicySpec), "a name of `warpgroup policies`, such as 'paged'")
    return parse_policy(str(policy))


def policies_of(policies: str | Sequence[str | PolicySpec]) -> list[PolicySpec]:
    """Policies as one text, separated by commas, or as a list. Raises UnknownName, InvalidScenario."""
    wanted = "a text such as 'paged,skyline', or a list of names"
    check_type("policies", policies, (str, PolicySpec, list, tuple), wanted)
    if isinstance(policies, str | PolicySpec):
        return parse_policies(str(policies))
    for number, policy in enumerate(policies):
        check_type(f"policies[{number}]", policy, (str, PolicySpec), "a name of `warpgroup policies`, such as 'paged'")
    return parse_policies(",".join(map(str, policies)))


def check_type(name: str, value: object, types: tuple[type, ...], wanted: str) -> None:
    """Raises InvalidScenario: the argument is of none of the types; the message says what is `wanted`."""
    if not isinstance(value, types):
        raise InvalidScenario(f"{name} is {_kind(value)}, expected {wanted}")


def _kind(value: object) -> str:
    """The value if it is short, or else its type."""
    return as_given(value) if value is None or isinstance(value, int | float) else f"a {type(value).__name__}"
