"""The command that changes a trace and writes it in WarpGroup's own format: `trace convert`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ...errors import InvalidScenario, quoted
from ...workloads import (
    Trace,
    clip_context,
    dequantize,
    drop_beyond_context,
    head,
    load_model,
    mix,
    reshuffled,
    scale_rate,
    shuffle_lengths,
    write_trace,
)
from .. import terminal
from ..help import examples, option
from ..options import ForceOption, MaxNewOption, output_option
from ..outputs import check_output
from .reading import (
    ColumnsOption,
    FileArgument,
    Reading,
    SeedOption,
    StrictOption,
    UnitOption,
    ZeroOutputsOption,
)

EXAMPLES = examples(
    "warpgroup trace convert requests.csv -o requests.parquet",
    "warpgroup trace convert requests.csv -o busy.parquet --head 100 --rate-scale 2",
)
_PANEL = "What to change"


@dataclass(frozen=True, slots=True)
class _Changes:
    """What is done to a trace, in this order; values as given on the command line."""

    head: int | None
    rate_scale: float
    dequantize: bool
    fit_context: str | None
    model: str | None
    mix: Path | None
    share: float | None
    shuffle: str | None


def convert_command(
    file: FileArgument,
    *,
    start_s: Annotated[
        float | None, option(panel=_PANEL, metavar="SECONDS", help="Leave out requests before this time.")
    ] = None,
    end_s: Annotated[
        float | None,
        option(
            panel=_PANEL,
            metavar="SECONDS",
            help="Leave out requests from this time on. Default for ServeGen's clients: an hour after the start.",
        ),
    ] = None,
    head: Annotated[
        int | None, option(panel=_PANEL, metavar="N", help="Keep only the first N requests.", min=1)
    ] = None,
    rate_scale: Annotated[
        float, option(panel=_PANEL, metavar="X", help="Multiply the arrival rate: 2 makes the trace half as long.")
    ] = 1.0,
    dequantized: Annotated[
        bool,
        option(
            "--dequantize",
            panel=_PANEL,
            help="Spread arrival times that were rounded, for example to 1 s, evenly over the rounding step.",
        ),
    ] = False,
    fit_context: Annotated[
        str | None,
        option(
            panel=_PANEL,
            metavar="HOW",
            help="clip or drop requests that exceed the context of --model. clip shortens their prompts.",
        ),
    ] = None,
    model: Annotated[
        str | None, option(panel=_PANEL, metavar="NAME", help="The model whose context --fit-context uses.")
    ] = None,
    mixed_with: Annotated[
        Path | None,
        option("--mix", panel=_PANEL, metavar="FILE", help="Another trace, whose requests are mixed in."),
    ] = None,
    share: Annotated[
        float | None,
        option(
            panel=_PANEL,
            metavar="X",
            help="The share of requests from the --mix trace, above 0 and below 1. Default: 0.5.",
        ),
    ] = None,
    shuffle: Annotated[
        str | None,
        option(
            panel=_PANEL,
            metavar="HOW",
            help="Shuffle requests over the arrival times. pairs keeps prompt and output of a request together; "
            "lengths does not.",
        ),
    ] = None,
    seed: SeedOption = 0,
    max_new_tokens: MaxNewOption = None,
    columns: ColumnsOption = None,
    time_unit: UnitOption = None,
    zero_outputs: ZeroOutputsOption = "drop",
    strict: StrictOption = False,
    output: Annotated[Path, output_option("The Parquet file to write.")],
    force: ForceOption = False,
) -> None:
    """Write a trace in WarpGroup's own format, with the record of rows that were dropped or repaired.

    Changes are made in the order of the options under "What to change".
    """
    check_output(output, "-o", ".parquet", force=force)
    reading = Reading(max_new_tokens, columns, time_unit, zero_outputs, strict)
    changes = _Changes(head, rate_scale, dequantized, fit_context, model, mixed_with, share, shuffle)
    trace = _changed(reading.read(file, seed=seed, start_s=start_s, end_s=end_s), changes, reading, seed)
    write_trace(trace, output)
    terminal.note_trace(trace)
    terminal.show_path("trace", output)


def _changed(trace: Trace, changes: _Changes, reading: Reading, seed: int) -> Trace:
    if changes.head is not None:
        trace = head(trace, changes.head)
    if changes.rate_scale != 1.0:
        trace = scale_rate(trace, changes.rate_scale)
    if changes.dequantize:
        trace = dequantize(trace, seed)
    trace = _within_context(trace, changes.fit_context, changes.model)
    if changes.mix is not None:
        if changes.share is not None and not 0 < changes.share < 1:
            raise InvalidScenario(f"--share is {changes.share:g}, expected more than 0 and less than 1")
        trace = mix(trace, reading.read(changes.mix, seed=seed), 1 - (0.5 if changes.share is None else changes.share))
    elif changes.share is not None:
        raise InvalidScenario("--share needs --mix: name the other trace")
    return _shuffled(trace, changes.shuffle, seed)


def _within_context(trace: Trace, how: str | None, model: str | None) -> Trace:
    if how is None:
        if model is not None:
            raise InvalidScenario("--model needs --fit-context: clip or drop")
        return trace
    if how not in ("clip", "drop"):
        raise InvalidScenario(f"--fit-context is {quoted(how)}, expected clip or drop")
    if model is None:
        raise InvalidScenario("--fit-context needs --model: name the model whose context it is")
    change = clip_context if how == "clip" else drop_beyond_context
    return change(trace, load_model(model).context_tokens)


def _shuffled(trace: Trace, how: str | None, seed: int) -> Trace:
    if how is None:
        return trace
    if how not in ("pairs", "lengths"):
        raise InvalidScenario(f"--shuffle is {quoted(how)}, expected pairs or lengths")
    return (reshuffled if how == "pairs" else shuffle_lengths)(trace, seed)
