"""`wg.compare`: several policies on one trace."""

from collections.abc import Sequence

from ...csrc import PolicySpec
from ...experiment import Experiment, Limits, Slo
from ...records import Run
from ...sim import best_safe_count, simulate
from ...sim.tasks import plan_tasks, searched_elsewhere
from ...workloads import DEFAULT_DEVICE, DEFAULT_MODEL, Trace
from ..defaults import DEFAULT_POLICIES
from .comparison import Comparison
from .inputs import experiment_of, policies_of, under_seeds
from .run_result import RunResult


def compare_policies(
    trace: Trace,
    policies: str | Sequence[str | PolicySpec] = DEFAULT_POLICIES,
    *,
    seeds: int = 1,
    model: str = DEFAULT_MODEL,
    device: str = DEFAULT_DEVICE,
    limits: Limits | None = None,
    slo: Slo | str | None = None,
    seed: int = 0,
    arrivals: str = "trace",
    rate_scale: float = 1.0,
) -> Comparison:
    """Simulate a trace under several policies, one after the other, in this process.

    A count policy without a count is run twice: with the best count that fits in memory, searched on these requests,
    and with n=32. `warpgroup compare` does the same on all cores, and also explains the winner switch by switch.

    Args:
        policies: texts such as "paged,ffd(margin=0.01)", or a list of them.
        seeds: run every policy on this many seeds, from `seed` on, so that differences have an interval.

    The other arguments are those of `wg.simulate`.

    Raises:
        WarpGroupError: an argument is wrong, or the model does not fit on the device.
        KeyboardInterrupt: a simulation was interrupted.
    """
    first = experiment_of(
        trace,
        model=model,
        device=device,
        limits=limits,
        slo=slo,
        seed=seed,
        arrivals=arrivals,
        rate_scale=rate_scale,
    )
    specs = policies_of(policies)
    for spec in specs:
        first.scheduler(spec)  # a contradiction with the limits shows here, before anything is simulated
    experiments = under_seeds(trace, first, seeds)
    runs = [_on_every_seed(spec, note, experiments) for spec, note in _counted(specs, first)]
    return Comparison.of([RunResult.of(each[0]) for each in runs], [[run.info for run in each] for each in runs])


def _counted(specs: list[PolicySpec], experiment: Experiment) -> list[tuple[PolicySpec, str]]:
    """The policies to run, in their order, and how a count was found."""
    order = [spec.id for spec in specs]
    found: dict[str, tuple[PolicySpec, str]] = {}
    for task in sorted(plan_tasks(specs), key=lambda task: order.index(task.policy.id)):
        spec, note = task.policy, ""
        if task.search:
            best = best_safe_count(experiment, spec)
            spec, note = spec.with_count(best.n), str(best)
        found.setdefault(str(spec), (spec, note))
    return list(found.values())


def _on_every_seed(spec: PolicySpec, note: str, experiments: list[Experiment]) -> list[Run]:
    runs: list[Run] = []
    for experiment in experiments:
        elsewhere = searched_elsewhere(spec, experiments[0].seed) if note else ""
        run = simulate(experiment, spec, note=elsewhere if runs else note)
        if not run.info.complete:
            raise KeyboardInterrupt
        runs.append(run)
    return runs
