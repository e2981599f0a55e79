"""The options that `compare` and `simulate` share, and the experiment that they describe."""

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from ..csrc import parse_policies
from ..errors import Interrupted, InvalidScenario, UnknownName
from ..experiment import Experiment, Limits, Slo, build_experiment
from ..workloads import (
    ARRIVAL_FORMS,
    DEFAULT_DEVICE,
    DEFAULT_MODEL,
    USERS_FORM,
    DeviceSpec,
    ModelSpec,
    Scenario,
    Trace,
    are_drawn,
    generate_trace,
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

DEFAULT_SCENARIO = "mixed-24"
DEFAULT_POLICIES = "count-static,count-continuous,paged,ffd"

_WHAT = "What to run"
_LIMITS = "Memory and engine limits"


def _option(help: str, *names: str, panel: str = _LIMITS, **more: Any) -> Any:
    return Option(*names, help=help, rich_help_panel=panel, show_default=False, **more)


@dataclass(frozen=True, slots=True)
class Options:
    """Values as given on the command line; None where nothing was given and the scenario decides."""

    trace: Annotated[
        Path | None, _option("A trace file, plain or packed, or ServeGen's clients; known by content.", panel=_WHAT)
    ] = None
    scenario: Annotated[
        str | None,
        _option(
            f"A built-in scenario (`warpgroup scenarios`) or a TOML file. Default: {DEFAULT_SCENARIO}, if no trace is "
            "given. With --trace: the scenario's settings over the trace's rows.",
            panel=_WHAT,
        ),
    ] = None
    model: Annotated[
        str | None,
        _option(
            f"See `warpgroup models`, or a Hugging Face folder (config.json, and for `replay` safetensors). Default: "
            f"{DEFAULT_MODEL}.",
            panel=_WHAT,
        ),
    ] = None
    device: Annotated[
        str | None,
        _option(
            f"See `warpgroup devices`; default: {DEFAULT_DEVICE}. For `replay`: auto (default), cuda, cuda:N or cpu.",
            panel=_WHAT,
        ),
    ] = None
    arrivals: Annotated[str | None, _option(f"trace | at-zero | {USERS_FORM} | {ARRIVAL_FORMS}", panel=_WHAT)] = None
    rate_scale: Annotated[
        float | None,
        _option("Multiplies the arrival rate: 0.5 stretches time to twice its length.", panel=_WHAT),
    ] = None
    max_new_tokens: Annotated[
        int | None,
        _option(
            "What every request may generate at most; policies see it, never a true length.",
            panel=_WHAT,
            min=1,
        ),
    ] = None
    seed: Annotated[int | None, _option("Seed of everything that is drawn at random.", panel=_WHAT, min=0)] = None
    slo: Annotated[str | None, _option("What a good request keeps. Default: ttft=10s,tpot=100ms.", panel=_WHAT)] = None
    vram: Annotated[str | None, _option("VRAM that the process may use, such as 24GiB. Default: 92 % of the card.")] = (
        None
    )
    graph_pool: Annotated[
        str | None, _option("What the engine's captured CUDA graphs hold, such as 1GiB. Default: nothing.")
    ] = None
    kv_budget_tokens: Annotated[
        int | None, _option("Size of the KV pool in tokens, in place of what the card leaves.", min=1)
    ] = None
    kv_blocks: Annotated[int | None, _option("Size of the KV pool in blocks.", min=1)] = None
    block_tokens: Annotated[
        int | None,
        _option("Tokens in a KV block, a multiple of 16. Default: 16, or what attention needs in `replay`.", min=16),
    ] = None
    max_seqs: Annotated[
        int | None,
        _option("Requests that may run at once (not for count policies). Default: by device.", min=1),
    ] = None
    step_tokens: Annotated[int | None, _option("Tokens that one step may compute. Default: by device.", min=1)] = None
    max_wait: Annotated[
        float | None,
        _option(
            "Reject a request that would wait longer than so many seconds; 0: none, whatever the scenario says. "
            "Default: the scenario's limit, or none.",
            min=0,
        ),
    ] = None


OutOption = Annotated[
    Path | None,
    Option(
        "--out",
        help="Folder to write into. Default: a fresh numbered one in warpgroup-runs.",
        show_default=False,
    ),
]
ForceOption = Annotated[bool, Option("--force", help="Write even where something is already.")]
ProfileOption = Annotated[
    str | None,
    Option(
        help="How long steps take: a file of `warpgroup calibrate`, or 'analytic' for the device's roofline. Default: "
        "the profile that ships for this model on this device, if one does, else the roofline.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, Option("--json", help="Print machine-readable results to stdout.")]

Command = Callable[..., None]


def with_options(command: Command) -> Command:
    """Give a command the shared options; it gets them as its argument `options`."""
    return _with(command, tuple(inspect.signature(Options).parameters))


def with_some_options(*names: str) -> Callable[[Command], Command]:
    """The same with only some of them."""
    return lambda command: _with(command, names)


def _with(command: Command, names: tuple[str, ...]) -> Command:
    shared = {name: inspect.signature(Options).parameters[name] for name in names}
    own = {name: p for name, p in inspect.signature(command).parameters.items() if name != "options"}

    @functools.wraps(command)
    def wrapper(**values: Any) -> None:
        try:
            command(options=Options(**{name: values.pop(name) for name in shared}), **values)
        except KeyboardInterrupt:
            raise Interrupted from None

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own.values(), *shared.values())]
    del wrapper.__wrapped__
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


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
        trace: in place of the one that is named; there is no scenario then.
        first: so many requests alone; 0: all.
        device: in place of the one that is named.
        block_tokens: of a KV block, unless the options say otherwise.

    Raises:
        WarpGroupError: whatever is wrong with a file, a name or a value.
    """
    scenario = _scenario(options) if trace is None else None
    seed = _first(options.seed, scenario and scenario.seed, 0)
    trace, arrivals = (trace, "trace") if trace is not None else _trace(options, scenario, seed, first)
    rate_scale = _first(options.rate_scale, scenario and scenario.rate_scale, 1.0)
    if not 0 < rate_scale < float("inf"):
        raise InvalidScenario(f"--rate-scale is {rate_scale:g}, expected a positive number")
    if arrivals.startswith("users"):
        if options.rate_scale not in (None, 1):
            raise InvalidScenario(f"arrivals {arrivals} have no rate to be scaled: users come when they are answered")
        rate_scale = 1.0  # a scenario's own is of its own arrivals
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
    """The experiment of these options as another seed has it.

    What is drawn at random is drawn anew, as `--seed` would. Where nothing is, since requests and times are a file's,
    the requests are reshuffled over the times.
    """
    if options.trace is None or are_drawn(experiment.arrivals) or holds_clients(options.trace):
        return experiment_from(replace(options, seed=seed))[0]
    return replace(experiment, trace=reshuffled(experiment.trace, seed), seed=seed)


def model_of(options: Options) -> tuple[ModelSpec, Path | None]:
    """The model that is asked for, before anything else is read, and the folder that has its weights, if any."""
    scenario = _scenario(options)
    name = _first(options.model, scenario and scenario.model, DEFAULT_MODEL)
    return model_named(name), Path(name) if Path(name).is_dir() else None


def with_speed(options: Options, speed: float) -> Options:
    """The same with requests arriving so many times faster."""
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
    """A scenario of which the policies are known, too. Raises InvalidScenario, UnknownName."""
    scenario = load_scenario(name)
    try:
        parse_policies(",".join(scenario.policies))
    except (InvalidScenario, UnknownName) as error:
        raise InvalidScenario(f"scenario {name}: policies: {error}") from None
    return scenario


def _trace(options: Options, scenario: Scenario | None, seed: int, first: int) -> tuple[Trace, str]:
    """The requests, the first so many alone if not 0, with their arrivals, before any scaling of the rate."""
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
        raise InvalidScenario(f"{names} contradict each other: give one")
    block_tokens = options.block_tokens or default_block
    if block_tokens % 16:
        raise InvalidScenario(f"--block-tokens is {block_tokens}, expected a multiple of 16")
    vram, kv_budget_tokens = options.vram, options.kv_budget_tokens
    if scenario and not given:
        vram, kv_budget_tokens = scenario.vram or None, scenario.kv_budget_tokens or None
        card = device.name if device else options.device or scenario.device
        changed = (card, options.model or scenario.model)
        if changed != (scenario.device, scenario.model):
            kv_budget_tokens = None  # the scenario's budget is what its own model leaves on its own card
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
    if options.slo is None:
        return slo
    limits = {"ttft": slo.ttft_s, "tpot": slo.tpot_s}
    for item in options.slo.split(","):
        match = re.fullmatch(r"\s*(ttft|tpot)\s*=\s*([0-9]*\.?[0-9]+)\s*(ms|s)?\s*", item)
        if not match:
            raise InvalidScenario(f"--slo '{options.slo}' is not of the form ttft=10s,tpot=100ms")
        limits[match[1]] = float(match[2]) * (0.001 if match[3] == "ms" else 1)
    return Slo(limits["ttft"], limits["tpot"])
