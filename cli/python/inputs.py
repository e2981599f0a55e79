"""From the arguments of a Python function to an experiment and policies."""

from collections.abc import Sequence
from dataclasses import replace

from ...csrc import PolicySpec, parse_policies, parse_policy
from ...errors import InvalidScenario, InvalidTrace
from ...experiment import Experiment, Limits, Slo, build_experiment
from ...workloads import Trace, are_drawn, load_device, model_named, reshuffled, scale_rate, with_arrivals
from ..slo import parse_slo


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
        raise InvalidTrace(
            f"expected a Trace, not a {type(trace).__name__}: wg.read_trace(path) reads a file, "
            "wg.Trace.from_dataframe(df, arrival=..., prompt=..., output=..., unit=...) takes a DataFrame"
        )
    if not 0 < rate_scale < float("inf"):
        raise InvalidScenario(f"rate_scale is {rate_scale:g}, expected a positive number")
    return build_experiment(
        scale_rate(with_arrivals(trace, arrivals, seed), rate_scale),
        model_named(model),
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
    if seeds < 1:
        raise InvalidScenario(f"seeds is {seeds}, expected at least 1")
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
    return parse_policy(policy) if isinstance(policy, str) else policy


def policies_of(policies: str | Sequence[str | PolicySpec]) -> list[PolicySpec]:
    """Policies as one text, separated by commas, or as a list. Raises UnknownName, InvalidScenario."""
    return parse_policies(policies if isinstance(policies, str) else ",".join(map(str, policies)))
