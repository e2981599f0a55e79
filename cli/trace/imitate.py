"""The commands that imitate a trace: `trace fit` and `trace generate`."""

from pathlib import Path
from typing import Annotated

import typer

from ...errors import OutputRefused
from ...workloads import (
    encode_workload,
    fit,
    generate_from,
    load_workload,
    summarize_trace,
    workload_names,
    write_trace,
)
from .. import terminal
from ..help import examples, option
from ..options import ForceOption, JsonOption, MaxNewOption, output_option
from ..outputs import check_output
from ..tables.traces import show_fit, show_trace
from .reading import ColumnsOption, FileArgument, Reading, SeedOption, UnitOption

FIT_EXAMPLES = examples(
    "warpgroup trace fit requests.csv -o model.json",
    "warpgroup trace fit requests.csv -o model.json --seed 7 --json",
)
GENERATE_EXAMPLES = examples(
    "warpgroup trace generate azure-conv -o conv.parquet --requests 5000",
    "warpgroup trace generate claude-code -o agents.parquet --seed 7",
)


def fit_command(
    file: FileArgument,
    *,
    max_new_tokens: MaxNewOption = None,
    columns: ColumnsOption = None,
    time_unit: UnitOption = None,
    seed: SeedOption = 0,
    output: Annotated[Path, output_option("The model to write, as JSON.")],
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Fit a model to a trace, and say how far its imitations are from the trace.

    The model has lengths and arrivals. If requests wait for each other, it has sessions: turns, growth and think times.
    """
    check_output(output, "-o", ".json", force=force)
    trace = Reading(max_new_tokens, columns, time_unit).read(file, prefix=False)
    found, report = fit(trace, seed=seed)
    _write(output, encode_workload(found))
    if json:
        terminal.print_json(report)
    else:
        show_fit(report)
    terminal.show_path("model", output)


def generate_command(
    workload: Annotated[
        str,
        typer.Argument(
            help=f"A built-in model ({', '.join(workload_names())}), or a file of `trace fit`.",
            metavar="MODEL",
            show_default=False,
        ),
    ],
    *,
    requests: Annotated[
        int, option(panel="What to generate", metavar="N", help="The number of requests.", min=1, show_default=True)
    ] = 1000,
    seed: SeedOption = 0,
    max_new_tokens: MaxNewOption = None,
    output: Annotated[Path, output_option("The Parquet file to write.")],
    force: ForceOption = False,
) -> None:
    """Generate a trace from a model. The same arguments give the same trace.

    A model with sessions gives a closed loop: only first turns have arrival times. --requests counts all turns.
    """
    check_output(output, "-o", ".parquet", force=force)
    trace = generate_from(load_workload(workload), requests=requests, seed=seed, max_new_tokens=max_new_tokens)
    write_trace(trace, output)
    terminal.note_trace(trace)
    show_trace(summarize_trace(trace))
    terminal.show_path("trace", output)


def _write(output: Path, content: bytes) -> None:
    part = output.with_name(output.name + ".part")
    try:
        part.write_bytes(content)
        part.replace(output)
    except OSError as error:
        raise OutputRefused(f"cannot write {output}: {error.strerror}; choose another place") from None
