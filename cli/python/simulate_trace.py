"""`wg.simulate`: one policy on one trace."""

from ...csrc import PolicySpec
from ...experiment import Limits, Slo
from ...sim import simulate
from ...workloads import DEFAULT_DEVICE, DEFAULT_MODEL, Trace
from .inputs import experiment_of, policy_of
from .run_result import RunResult


def simulate_trace(
    trace: Trace,
    policy: str | PolicySpec,
    *,
    model: str = DEFAULT_MODEL,
    device: str = DEFAULT_DEVICE,
    limits: Limits | None = None,
    slo: Slo | str | None = None,
    seed: int = 0,
    arrivals: str = "trace",
    rate_scale: float = 1.0,
) -> RunResult:
    """Simulate a trace under one policy.

    The result is a pure function of the arguments. Example::

        import warpgroup as wg

        trace = wg.read_trace("requests.csv")
        run = wg.simulate(trace, "paged", device="rtx-4090", slo="ttft=5s,tpot=80ms")
        run.summary["ttft_s"]["p90"]

    Args:
        trace: from `wg.read_trace` or `wg.Trace.from_dataframe`.
        policy: a policy of `warpgroup policies`, with parameters if needed: "ffd(margin=0.01)".
        model: a model of `warpgroup models`, or a Hugging Face folder.
        device: a device of `warpgroup devices`.
        limits: memory and engine limits, such as `wg.Limits(vram_bytes=20 * 2**30)`; default: those of the device.
        slo: the objective that a good request meets, as text or `wg.Slo`; default: "ttft=10s,tpot=100ms".
        seed: of everything that is drawn at random.
        arrivals: "trace", "at-zero", "poisson:RATE" or another form of the option --arrivals.
        rate_scale: multiplies the arrival rate.

    Raises:
        WarpGroupError: an argument is wrong, or the model does not fit on the device.
        KeyboardInterrupt: the simulation was interrupted.
    """
    experiment = experiment_of(
        trace,
        model=model,
        device=device,
        limits=limits,
        slo=slo,
        seed=seed,
        arrivals=arrivals,
        rate_scale=rate_scale,
    )
    run = simulate(experiment, policy_of(policy))
    if not run.info.complete:
        raise KeyboardInterrupt
    return RunResult.of(run)
