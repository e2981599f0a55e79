"""The experiment that the options of a command describe: requests, model, device and limits."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..csrc import parse_policies
from ..errors import InvalidProfile, InvalidScenario, UnknownName
from ..experiment import Experiment, Limits, Slo, build_experiment, check_block_tokens
from ..workloads import (
    DEFAULT_DEVICE,
    DEFAULT_MODEL,
    DeviceSpec,
    ModelSpec,
    Scenario,
    Trace,
    are_drawn,
    generate_trace,
    have_users,
    head,
    holds_clients,
    load_device,
    load_scenario,
    model_named,
    parse_bytes,
    read_trace,
    reshuffled,
    scale_rate,
    with_arrivals,
)
from . import terminal
from .defaults import DEFAULT_POLICIES, DEFAULT_SCENARIO
from .options import Options
from .slo import parse_slo

if TYPE_CHECKING:
    from ..sim import StepTime


def experiment_from(
    options: Options,
    *,
    trace: Trace | None = None,
    first: int = 0,
    device: DeviceSpec | None = None,
    block_tokens: int = 16,
) -> tuple[Experiment, list[str]]:
    """The experiment, and the policies that its scenario names.

    Args:
        trace: replaces the trace of the options; no scenario is read then.
        first: only the first so many requests; 0: all.
        device: replaces the device of the options.
        block_tokens: tokens in a KV block if the options do not give it.

    Raises:
        WarpGroupError: a file, a name or a value is wrong.
    """
    scenario = _scenario(options) if trace is None else None
    seed = _first(options.seed, scenario and scenario.seed, 0)
    trace, arrivals = (trace, "trace") if trace is not None else _trace(options, scenario, seed, first)
    rate_scale = _first(options.rate_scale, scenario and scenario.rate_scale, 1.0)
    if not 0 < rate_scale < float("inf"):
        raise InvalidScenario(f"--rate-scale is {rate_scale:g}, expected a positive number")
    if have_users(arrivals):
        if options.rate_scale not in (None, 1):
            raise InvalidScenario(
                f"--rate-scale does not apply to --arrivals {arrivals}: a user sends a request when the last one is "
                "answered; change the number of users"
            )
        rate_scale = 1.0  # the scenario's scale belongs to the scenario's own arrivals
    experiment = build_experiment(
        scale_rate(trace, rate_scale),
        model_named(_first(options.model, scenario and scenario.model, DEFAULT_MODEL)),
        device or load_device(_first(options.device, scenario and scenario.device, DEFAULT_DEVICE)),
        limits=_limits(options, scenario, block_tokens, device),
        slo=_slo(options, scenario),
        seed=seed,
        name=scenario.name if scenario else trace.name,
        arrivals=arrivals,
        rate_scale=rate_scale,
    )
    return experiment, list(scenario.policies) if scenario else DEFAULT_POLICIES.split(",")


def replicate(experiment: Experiment, options: Options, seed: int) -> Experiment:
    """The experiment of these options under another seed.

    Everything that is drawn at random is drawn again, as `--seed` would do. If nothing is drawn, because requests and
    times come from a file, the requests are reshuffled over the times.
    """
    if options.trace is None or are_drawn(experiment.arrivals) or holds_clients(options.trace):
        return experiment_from(replace(options, seed=seed))[0]
    return replace(experiment, trace=reshuffled(experiment.trace, seed), seed=seed)


def model_of(options: Options) -> tuple[ModelSpec, Path | None]:
    """The model of the options, and the folder that has its weights, if there is one. No trace is read."""
    scenario = _scenario(options)
    name = _first(options.model, scenario and scenario.model, DEFAULT_MODEL)
    return model_named(name), Path(name) if Path(name).is_dir() else None


def with_speed(options: Options, speed: float) -> Options:
    """The same options with requests that arrive `speed` times faster. Raises InvalidScenario."""
    if not 0 < speed < float("inf"):
        raise InvalidScenario(f"--speed is {speed:g}, expected a positive number")
    if speed == 1:
        return options
    scenario = _scenario(options)
    return replace(options, rate_scale=speed * _first(options.rate_scale, scenario and scenario.rate_scale, 1.0))


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)


def _scenario(options: Options) -> Scenario | None:
    if options.scenario is None and options.trace is not None:
        return None
    return scenario_named(options.scenario or DEFAULT_SCENARIO)


def scenario_named(name: str) -> Scenario:
    """A scenario whose policies exist. Raises InvalidScenario, UnknownName."""
    scenario = load_scenario(name)
    try:
        parse_policies(",".join(scenario.policies))
    except (InvalidScenario, UnknownName) as error:
        raise InvalidScenario(f"scenario {name}: policies: {error}") from None
    return scenario


def _trace(options: Options, scenario: Scenario | None, seed: int, first: int) -> tuple[Trace, str]:
    """The first `first` requests (0: all) with their arrivals, before the rate is scaled; and the form of arrivals."""
    arrivals = options.arrivals or (scenario.arrivals if scenario else "trace")
    max_new_tokens = options.max_new_tokens or (scenario.max_new_tokens if scenario else None)
    if options.trace is not None:
        trace = read_trace(options.trace, max_new_tokens=max_new_tokens, seed=seed)
    else:
        assert scenario is not None, "without a trace there is a scenario"
        limit = options.max_new_tokens or scenario.max_new_tokens
        trace = generate_trace(scenario.workload, requests=scenario.requests, seed=seed, max_new_tokens=limit)
    return with_arrivals(head(trace, first) if first else trace, arrivals, seed), arrivals


def _limits(options: Options, scenario: Scenario | None, default_block: int, device: DeviceSpec | None) -> Limits:
    given = [n for n in ("vram", "kv_budget_tokens", "kv_blocks") if getattr(options, n) is not None]
    if len(given) > 1:
        names = " and ".join("--" + name.replace("_", "-") for name in given)
        raise InvalidScenario(f"{names} contradict each other: give one of them")
    block_tokens = options.block_tokens or default_block
    check_block_tokens("--block-tokens", block_tokens)
    vram, kv_budget_tokens = options.vram, options.kv_budget_tokens
    if scenario and not given:
        vram, kv_budget_tokens = scenario.vram or None, scenario.kv_budget_tokens or None
        card = device.name if device else options.device or scenario.device
        changed = (card, options.model or scenario.model)
        if changed != (scenario.device, scenario.model):
            kv_budget_tokens = None  # the scenario's budget is for its own model on its own device
    return Limits(
        vram_bytes=parse_bytes(vram) if vram else 0,
        kv_budget_tokens=kv_budget_tokens or 0,
        kv_blocks=options.kv_blocks or 0,
        block_tokens=block_tokens,
        max_seqs=options.max_seqs or 0,
        step_tokens=options.step_tokens or 0,
        graph_pool_bytes=parse_bytes(options.graph_pool) if options.graph_pool else 0,
        max_wait_s=_first(options.max_wait, scenario and scenario.max_wait_s, 0.0),
    )


def _slo(options: Options, scenario: Scenario | None) -> Slo:
    slo = Slo(scenario.slo_ttft_s, scenario.slo_tpot_s) if scenario else Slo()
    return slo if options.slo is None else parse_slo(options.slo, slo)


def step_time_of(profile: str | None, experiment: Experiment) -> "StepTime | None":
    """The step-time model that --profile names; None: the default.

    Raises InvalidProfile: the profile cannot be read, or is for another model.
    """
    from ..sim import AnalyticStepTime
    from ..sim.step_time.profile import read_profile

    if profile is None:
        return None
    if profile == "analytic":
        return AnalyticStepTime(experiment.memory.geometry, experiment.device)
    found = read_profile(Path(profile))
    if found.model != experiment.model.name:
        raise InvalidProfile(
            f"{profile} is a profile of {found.model}, but the model to run is {experiment.model.name}: choose another "
            "profile, or another --model"
        )
    if found.device != experiment.device.name:
        terminal.note(f"{profile} was measured on {found.device}; here it is used for {experiment.device.name}")
    return found.step_time()
