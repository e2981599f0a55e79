"""The options that several commands share: each is described here, once."""

import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

from ..runtime import BACKENDS
from ..workloads import ARRIVAL_FORMS, DEFAULT_DEVICE, DEFAULT_MODEL, USERS_FORM
from .defaults import DEFAULT_SCENARIO, MOST_SEED
from .help import option

REQUESTS = "What to run"
LIMITS = "Memory and engine limits"
POLICY = "Policies"
SIMULATION = "How to simulate"
RESULTS = "Where results go"
READING = "How to read the file"
"""Panels of `--help`."""


@dataclass(frozen=True, slots=True)
class Options:
    """Values as given on the command line; None where nothing was given and the scenario decides."""

    trace: Annotated[
        Path | None,
        option(
            panel=REQUESTS,
            metavar="FILE",
            help="A trace file, plain or compressed, or a folder of ServeGen's clients. The format is found from the "
            "content.",
        ),
    ] = None
    scenario: Annotated[
        str | None,
        option(
            panel=REQUESTS,
            metavar="NAME",
            help=f"A built-in scenario (see `warpgroup scenarios`) or a TOML file. Default: {DEFAULT_SCENARIO}, if no "
            "trace is given. With --trace: the scenario's settings with the trace's requests.",
        ),
    ] = None
    model: Annotated[
        str | None,
        option(
            panel=REQUESTS,
            metavar="NAME",
            help=f"A model of `warpgroup models`, or a Hugging Face folder with config.json. Default: {DEFAULT_MODEL}.",
        ),
    ] = None
    device: Annotated[
        str | None,
        option(
            panel=REQUESTS,
            metavar="NAME",
            help=f"A device of `warpgroup devices`. Default: {DEFAULT_DEVICE}.",
        ),
    ] = None
    arrivals: Annotated[
        str | None,
        option(
            panel=REQUESTS,
            metavar="FORM",
            help=f"When requests arrive: trace | at-zero | {USERS_FORM} | {ARRIVAL_FORMS}.",
        ),
    ] = None
    rate_scale: Annotated[
        float | None,
        option(
            panel=REQUESTS,
            metavar="X",
            help="Multiply the arrival rate by this number. 0.5 makes the trace last twice as long.",
        ),
    ] = None
    max_new_tokens: Annotated[
        int | None,
        option(
            panel=REQUESTS,
            metavar="N",
            help="The most tokens that a request may generate. Policies see this limit and never the true length.",
            min=1,
        ),
    ] = None
    seed: Annotated[
        int | None,
        option(
            panel=REQUESTS, metavar="N", help="The seed of everything that is drawn at random.", min=0, max=MOST_SEED
        ),
    ] = None
    slo: Annotated[
        str | None,
        option(
            panel=REQUESTS,
            metavar="LIMITS",
            help="The objective that a good request meets. Default: ttft=10s,tpot=100ms.",
        ),
    ] = None
    vram: Annotated[
        str | None,
        option(
            panel=LIMITS,
            metavar="SIZE",
            help="The VRAM that the process may use, such as 24GiB. Default: 92 % of the device's memory.",
        ),
    ] = None
    graph_pool: Annotated[
        str | None,
        option(
            panel=LIMITS,
            metavar="SIZE",
            help="The memory that the engine's captured CUDA graphs hold, such as 1GiB. Default: none.",
        ),
    ] = None
    kv_budget_tokens: Annotated[
        int | None,
        option(
            panel=LIMITS,
            metavar="N",
            help="The size of the KV pool in tokens. Default: what the VRAM leaves.",
            min=1,
        ),
    ] = None
    kv_blocks: Annotated[
        int | None, option(panel=LIMITS, metavar="N", help="The size of the KV pool in blocks.", min=1)
    ] = None
    block_tokens: Annotated[
        int | None,
        option(
            panel=LIMITS,
            metavar="N",
            help="Tokens in a KV block: a multiple of 16. Default: 16.",
            min=16,
        ),
    ] = None
    max_seqs: Annotated[
        int | None,
        option(
            panel=LIMITS,
            metavar="N",
            help="The most requests that run at once. Count policies have a cap of their own. Default: the device's.",
            min=1,
        ),
    ] = None
    step_tokens: Annotated[
        int | None,
        option(panel=LIMITS, metavar="N", help="The most tokens in a step. Default: the device's.", min=1),
    ] = None
    max_wait: Annotated[
        float | None,
        option(
            panel=LIMITS,
            metavar="SECONDS",
            help="Reject a request that would wait longer than this. 0: no limit. Default: the scenario's limit, or "
            "none.",
            min=0,
        ),
    ] = None


PoliciesOption = Annotated[
    str | None,
    option(
        panel=POLICY,
        metavar="LIST",
        help="Policies, separated by commas, such as 'paged,ffd(margin=0.01)'. Default: the scenario's.",
    ),
]
ProfileOption = Annotated[
    str | None,
    option(
        panel=SIMULATION,
        metavar="FILE",
        help="How long steps take: a profile of `warpgroup calibrate`, or 'analytic' for the device's roofline. "
        "Default: the profile that ships for this model on this device; if there is none, the roofline.",
    ),
]
OutOption = Annotated[
    Path | None,
    option(
        "--out",
        panel=RESULTS,
        metavar="FOLDER",
        help="The folder to write. Default: the next number in warpgroup-runs.",
    ),
]
ForceOption = Annotated[bool, option("--force", panel=RESULTS, help="Overwrite what is there.")]
ResumeOption = Annotated[
    bool,
    option("--resume", panel=RESULTS, help="Keep complete runs of the same experiment and make only the others."),
]
JsonOption = Annotated[bool, option("--json", panel=RESULTS, help="Print the results to stdout as JSON.")]
MaxNewOption = Annotated[
    int | None,
    option(panel=READING, metavar="N", help="The most tokens that a request may generate.", min=1),
]
AttentionOption = Annotated[
    str,
    option(
        panel="How to run",
        metavar="NAME",
        help=f"The attention backend: {' | '.join(BACKENDS)}. auto: the fastest that is installed.",
    ),
]


def output_option(help: str) -> Any:
    """`-o`, the file that a command writes."""
    return option("--output", "-o", panel=RESULTS, metavar="FILE", help=help)


Command = Callable[..., None]

ALL_OPTIONS = tuple(inspect.signature(Options).parameters)


def with_options(command: Command) -> Command:
    """Give a command the shared options; it gets them as its argument `options`."""
    return _with(command, ALL_OPTIONS, {})


def with_some_options(*names: str, helps: Mapping[str, str] | None = None) -> Callable[[Command], Command]:
    """The same with only some of them; `helps` has the help of options that mean something else in the command."""
    return lambda command: _with(command, names, helps or {})


def _with(command: Command, names: tuple[str, ...], helps: Mapping[str, str]) -> Command:
    shared = {name: _helped(inspect.signature(Options).parameters[name], helps.get(name)) for name in names}
    own = {name: p for name, p in inspect.signature(command).parameters.items() if name != "options"}

    @functools.wraps(command)
    def wrapper(**values: Any) -> None:
        command(options=Options(**{name: values.pop(name) for name in shared}), **values)

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*shared.values(), *own.values())]
    del wrapper.__wrapped__
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def _helped(parameter: inspect.Parameter, help: str | None) -> inspect.Parameter:
    """The parameter with another help text, if one is given."""
    if help is None:
        return parameter
    kind, info = get_args(parameter.annotation)
    changed = copy.copy(info)
    changed.help = help
    return parameter.replace(annotation=Annotated[kind, changed])
