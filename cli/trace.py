"""The commands about requests: `trace inspect | convert | fit | generate`, and `scenarios`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from ..errors import InvalidScenario, OutputRefused
from ..records import refuse_existing
from ..workloads import (
    ModelSpec,
    Trace,
    clip_context,
    columns_given,
    dequantize,
    drop_beyond_context,
    encode_workload,
    fit,
    generate_from,
    load_model,
    load_scenario,
    load_workload,
    mix,
    read_trace,
    reshuffled,
    scale_rate,
    scenario_names,
    shuffle_lengths,
    summarize_trace,
    workload_names,
    write_trace,
)
from ..workloads import head as first_ones
from ..workloads.readers import READERS
from . import terminal
from .options import ForceOption, JsonOption, scenario_named

trace_app = typer.Typer(help="Read, change, imitate and make traces.", no_args_is_help=True)
scenario_app = typer.Typer(help="The built-in scenarios, and what each is meant to show.")

_File = Annotated[
    Path,
    typer.Argument(
        help="A trace file, plain, gzip or zstd; its format is recognised by content. Or ServeGen's clients, a folder "
        "or a tar of one, from whom the first hour is drawn.",
        show_default=False,
    ),
]
_MaxNewOption = Annotated[int | None, typer.Option(help="As in `compare`.", min=1, show_default=False)]
_ColumnsOption = Annotated[
    str | None,
    typer.Option(
        help="The file is a table (CSV, JSON lines, Parquet) of no known format: arrival=NAME,prompt=NAME,output=NAME.",
        show_default=False,
    ),
]
_UnitOption = Annotated[
    str | None,
    typer.Option("--time-unit", help="Of such a table: s, ms, us or ns. Default: s, or dates.", show_default=False),
]
_ZeroOption = Annotated[
    str, typer.Option("--zero-outputs", help="Requests without output: drop, or prefill-only (an output of 1 token).")
]
_StrictOption = Annotated[
    bool, typer.Option("--strict", help="Refuse the file at the first row that would be dropped or changed.")
]
_SeedOption = Annotated[int, typer.Option(help="Of what is drawn.", min=0)]


@dataclass(frozen=True, slots=True)
class _Reading:
    """How a file is read."""

    max_new_tokens: int | None
    columns: str | None
    time_unit: str | None
    zero_outputs: str
    strict: bool

    def read(
        self,
        file: Path,
        *,
        prefix: bool = True,
        seed: int = 0,
        start_s: float | None = None,
        end_s: float | None = None,
    ) -> Trace:
        """With the blocks of prompts, unless nobody will look at them. Raises InvalidTrace, InvalidScenario."""
        named = None if self.columns is None else columns_given(self.columns)
        if self.zero_outputs not in ("drop", "prefill-only"):
            raise InvalidScenario(f"--zero-outputs is '{self.zero_outputs}', expected drop or prefill-only")
        zeros: Literal["drop", "prefill-only"] = "drop" if self.zero_outputs == "drop" else "prefill-only"
        return read_trace(
            file,
            max_new_tokens=self.max_new_tokens,
            columns=named,
            time_unit=self.time_unit,
            zero_outputs=zeros,
            strict=self.strict,
            prefix=prefix,
            seed=seed,
            start_s=start_s,
            end_s=end_s,
        )


@trace_app.command(epilog=f"Formats: {'; '.join(f'{reader.name}: {reader.looks_like}' for reader in READERS)}.")
def inspect(
    file: _File,
    model: Annotated[
        str | None, typer.Option(help="Say how many requests exceed this model's context.", show_default=False)
    ] = None,
    max_new_tokens: _MaxNewOption = None,
    columns: _ColumnsOption = None,
    time_unit: _UnitOption = None,
    zero_outputs: _ZeroOption = "drop",
    strict: _StrictOption = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Write a page with figures of all that, too.", show_default=False),
    ] = None,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Show what a trace file holds: lengths, arrivals, conversations, shared prefixes, and rows that cannot be used."""
    if html is not None:
        refuse_existing(html, "--html", force=force)
    spec = load_model(model) if model else None
    trace = _Reading(max_new_tokens, columns, time_unit, zero_outputs, strict).read(file)
    summary = summarize_trace(trace)
    over = _over_context(trace, spec) if spec else None
    if html is not None:
        from ..reports.trace.page import write_trace_page

        write_trace_page(trace, html, spec)
        terminal.show_path("page", html)
    if json:
        terminal.print_json({"source": trace.source, "summary": summary, "over_context": over})
        return
    terminal.note_trace(trace)
    terminal.show_trace(summary)
    if spec and over is not None:
        terminal.stdout.print(
            f"{over:,} requests ({over / len(trace):.1%}) exceed the context of {spec.name}", highlight=False
        )


def _over_context(trace: Trace, model: ModelSpec) -> int:
    return int((trace.prompt_tokens + trace.output_tokens > model.context_tokens).sum())


@trace_app.command()
def validate(
    file: _File,
    max_new_tokens: _MaxNewOption = None,
    columns: _ColumnsOption = None,
    time_unit: _UnitOption = None,
    zero_outputs: _ZeroOption = "drop",
) -> None:
    """Read a trace file, and end with exit code 1 if a row of it cannot be used as it is."""
    trace = _Reading(max_new_tokens, columns, time_unit, zero_outputs, strict=False).read(file)
    terminal.note_trace(trace)
    if trace.source.dropped or trace.source.repaired:
        raise typer.Exit(1)


@trace_app.command()
def convert(
    file: _File,
    output: Annotated[Path, typer.Option("--output", "-o", help="The Parquet file to write.", show_default=False)],
    start_s: Annotated[float | None, typer.Option(help="Leave out what comes before.", show_default=False)] = None,
    end_s: Annotated[
        float | None,
        typer.Option(
            help="Leave out what comes from then on. Of ServeGen's clients, default: an hour after the start.",
            show_default=False,
        ),
    ] = None,
    head: Annotated[int | None, typer.Option(help="Only so many requests.", min=1, show_default=False)] = None,
    rate_scale: Annotated[float, typer.Option(help="Of the arrivals: 2 makes time half as long.")] = 1.0,
    dequantized: Annotated[
        bool,
        typer.Option("--dequantize", help="Spread times that were rounded, as to 1 s or 3 s, evenly over their steps."),
    ] = False,
    fit_context: Annotated[
        str | None,
        typer.Option(
            help="clip or drop requests that exceed the context of --model: clip shortens their prompts.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Whose context.", show_default=False)] = None,
    mixed_with: Annotated[
        Path | None, typer.Option("--mix", help="Another trace, whose requests come between.", show_default=False)
    ] = None,
    share: Annotated[
        float | None, typer.Option(help="Of the requests that are the other trace's. Default: 0.5.", show_default=False)
    ] = None,
    shuffle: Annotated[
        str | None,
        typer.Option(
            help="Draw anew which request comes when: pairs keeps prompt and output together, lengths does not.",
            show_default=False,
        ),
    ] = None,
    seed: _SeedOption = 0,
    max_new_tokens: _MaxNewOption = None,
    columns: _ColumnsOption = None,
    time_unit: _UnitOption = None,
    zero_outputs: _ZeroOption = "drop",
    strict: _StrictOption = False,
    force: ForceOption = False,
) -> None:
    """Write a trace in WarpGroup's own form, with what was dropped, repaired and done to it; changed, if asked for.

    Changes are made in the order of these options.
    """
    refuse_existing(output, "-o", force=force)
    reading = _Reading(max_new_tokens, columns, time_unit, zero_outputs, strict)
    trace = reading.read(file, seed=seed, start_s=start_s, end_s=end_s)
    if head is not None:
        trace = first_ones(trace, head)
    if rate_scale != 1.0:
        trace = scale_rate(trace, rate_scale)
    if dequantized:
        trace = dequantize(trace, seed)
    trace = _within_context(trace, fit_context, model)
    if mixed_with is not None:
        trace = mix(trace, reading.read(mixed_with, seed=seed), 1 - (0.5 if share is None else share))
    elif share is not None:
        raise InvalidScenario("--share needs --mix: of which other trace?")
    trace = _shuffled(trace, shuffle, seed)
    write_trace(trace, output)
    terminal.note_trace(trace)
    terminal.show_path("trace", output)


def _within_context(trace: Trace, how: str | None, model: str | None) -> Trace:
    if how is None:
        if model is not None:
            raise InvalidScenario("--model needs --fit-context: clip or drop what exceeds its context?")
        return trace
    if how not in ("clip", "drop"):
        raise InvalidScenario(f"--fit-context is '{how}', expected clip or drop")
    if model is None:
        raise InvalidScenario("--fit-context needs --model: whose context?")
    change = clip_context if how == "clip" else drop_beyond_context
    return change(trace, load_model(model).context_tokens)


def _shuffled(trace: Trace, how: str | None, seed: int) -> Trace:
    if how is None:
        return trace
    if how not in ("pairs", "lengths"):
        raise InvalidScenario(f"--shuffle is '{how}', expected pairs or lengths")
    return (reshuffled if how == "pairs" else shuffle_lengths)(trace, seed)


@trace_app.command(name="fit")
def fit_model(
    file: _File,
    output: Annotated[Path, typer.Option("--output", "-o", help="The model to write, as JSON.", show_default=False)],
    max_new_tokens: _MaxNewOption = None,
    columns: _ColumnsOption = None,
    time_unit: _UnitOption = None,
    seed: _SeedOption = 0,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Fit a model to a trace, and say how far its imitations are from it.

    The model is of lengths and arrivals; where requests wait for each other, of sessions: turns, growth, think times.
    """
    refuse_existing(output, "-o", force=force)
    trace = _Reading(max_new_tokens, columns, time_unit, "drop", False).read(file, prefix=False)
    found, report = fit(trace, seed=seed)
    _write(output, encode_workload(found))
    if json:
        terminal.print_json(report)
    else:
        terminal.show_fit(report)
    terminal.show_path("model", output)


@trace_app.command()
def generate(
    workload: Annotated[
        str,
        typer.Argument(
            help=f"A built-in model ({', '.join(workload_names())}), or a file of `trace fit`.", show_default=False
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The Parquet file to write.", show_default=False)],
    requests: Annotated[int, typer.Option(help="How many.", min=1)] = 1000,
    seed: _SeedOption = 0,
    max_new_tokens: _MaxNewOption = None,
    force: ForceOption = False,
) -> None:
    """Make a trace that imitates one: the same arguments make the same trace.

    Of a model with sessions it is a closed loop, of which only the first turns arrive; --requests counts turns.
    """
    refuse_existing(output, "-o", force=force)
    trace = generate_from(load_workload(workload), requests=requests, seed=seed, max_new_tokens=max_new_tokens)
    write_trace(trace, output)
    terminal.note_trace(trace)
    terminal.show_trace(summarize_trace(trace))
    terminal.show_path("trace", output)


@scenario_app.callback(invoke_without_command=True)
def scenarios(context: typer.Context, json: JsonOption = False) -> None:
    """List the built-in scenarios and what each is meant to show."""
    if context.invoked_subcommand is not None:
        return
    listed = [load_scenario(name) for name in scenario_names()]
    if json:
        terminal.print_json(listed)
        return
    terminal.show_scenarios(listed)


@scenario_app.command()
def show(
    name: Annotated[str, typer.Argument(help="A built-in scenario, or a TOML file.", show_default=False)],
    json: JsonOption = False,
) -> None:
    """Show one scenario whole."""
    scenario = scenario_named(name)
    if json:
        terminal.print_json(scenario)
        return
    terminal.show_settings(msgspec.to_builtins(scenario))


def _write(output: Path, content: bytes) -> None:
    part = output.with_name(output.name + ".part")
    try:
        part.write_bytes(content)
        part.replace(output)
    except OSError as error:
        raise OutputRefused(f"cannot write {output}: {error.strerror}; choose another place") from None
