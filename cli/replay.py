"""The command that runs a trace on a GPU: `replay`."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from ..csrc import PolicySpec, parse_policies
from ..errors import Interrupted
from ..experiment import Experiment
from ..records import command_line, fresh_folder, read_info
from ..workloads import DEFAULT_MODEL
from . import terminal
from .experiments import experiment_from, model_of, with_speed
from .help import examples, option
from .options import (
    ALL_OPTIONS,
    AttentionOption,
    ForceOption,
    JsonOption,
    Options,
    OutOption,
    PoliciesOption,
    ResumeOption,
    with_some_options,
)
from .outputs import claim_out
from .tables.runs import show_runs

EXAMPLES = examples(
    "warpgroup replay --model qwen2.5-7b --scenario chat-24 --policies paged,ffd",
    "warpgroup replay --model ./Qwen2.5-7B --trace requests.csv --speed 2",
)
_PANEL = "How to run"


@dataclass(frozen=True, slots=True)
class _Engine:
    """How the model runs, whatever the policy."""

    machine: Any
    attention: Any
    weights_folder: Path | None
    temperature: float
    graphs: bool


@with_some_options(
    *ALL_OPTIONS,
    helps={
        "model": "A model of `warpgroup models`, or a Hugging Face folder (config.json and safetensors). Default: "
        f"{DEFAULT_MODEL}.",
        "device": "auto (default), cuda, cuda:N or cpu.",
        "block_tokens": "Tokens in a KV block: a multiple of 16. Default: what the attention backend needs.",
    },
)
def replay_command(
    *,
    options: Options,
    policies: PoliciesOption = None,
    attention: AttentionOption = "auto",
    speed: Annotated[
        float, option(panel=_PANEL, metavar="X", help="Requests arrive this many times faster than in the trace.")
    ] = 1.0,
    plan_ahead: Annotated[
        int,
        option(
            panel=_PANEL,
            metavar="0|1",
            help="1: plan each step while the step before it runs. 0: plan it after that step.",
            min=0,
            max=1,
            show_default=True,
        ),
    ] = 1,
    temperature: Annotated[
        float,
        option(panel=_PANEL, metavar="T", help="0: greedy decoding. Above 0: tokens are sampled, with --seed.", min=0),
    ] = 0.0,
    graphs: Annotated[bool, option(panel=_PANEL, help="Run small steps as captured CUDA graphs.")] = True,
    out: OutOption = None,
    force: ForceOption = False,
    resume: ResumeOption = False,
    json: JsonOption = False,
) -> None:
    """Replay a trace on a GPU with a real model and the scheduler of `simulate`.

    If --model names no folder with weights, random weights are used: shapes, kernels and memory are the real ones.
    Every output is as long as the trace says.
    """
    from .. import runtime

    machine = runtime.open_machine(options.device or "auto")
    spec, weights_folder = model_of(options)
    backend = runtime.choose_attention(attention, machine, spec)
    experiment, named = experiment_from(
        with_speed(options, speed), device=machine.spec, block_tokens=max(backend.block_multiple, 16)
    )
    runtime.require_blocks(backend, experiment.memory.block_tokens)
    specs = parse_policies(policies or ",".join(named))
    for each in specs:
        experiment.scheduler(each)  # a contradiction with the limits shows here, before anything is written
    folder = out or fresh_folder()
    claim_out(folder, force=force, resume=resume)
    terminal.note_trace(experiment.trace)
    settings = runtime.ReplayOptions(plan_ahead=plan_ahead, command=command_line())
    missing = specs
    if resume:
        missing = runtime.missing_runs(
            experiment, specs, folder, attention=backend, temperature=temperature, options=settings
        )
    if missing:
        engine = _Engine(machine, backend, weights_folder, temperature, graphs)
        _replay(engine, experiment, missing, folder, settings)
    _show([folder / each.slug for each in specs], folder, json=json)


def _replay(engine: _Engine, experiment: Experiment, specs: list[PolicySpec], folder: Path, settings: Any) -> None:
    from .. import runtime

    with terminal.replay_progress(len(experiment.trace)) as (say, watch):
        session = runtime.open_session(
            experiment,
            specs,
            engine.machine,
            attention=engine.attention,
            weights_folder=engine.weights_folder,
            temperature=engine.temperature,
            graphs=engine.graphs,
            say=say,
        )
        try:
            with closing(session):
                runtime.replay_all(session, specs, folder, options=settings, on_progress=watch)
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted: finished runs and the started one, marked incomplete, are kept in {folder}; the same "
                f"command with --out {folder} --resume continues"
            ) from None


def _show(folders: list[Path], folder: Path, *, json: bool) -> None:
    if len(folders) > 1:
        from ..reports import read_study, write_report

        write_report(read_study(folders), folder / "report.html")
    infos = [read_info(each) for each in folders]
    if json:
        terminal.print_json([info.summary | {"seed": info.seed} for info in infos])
    else:
        from ..reports import verdict

        show_runs(verdict(infos))
    terminal.show_path("runs", folder)
