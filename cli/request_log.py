"""A request log of another engine: its options, and the experiment that it stands for."""

from pathlib import Path
from typing import Annotated

from ..errors import InvalidScenario
from ..experiment import Experiment
from ..workloads import RequestLog, columns_given, read_request_log
from . import terminal
from .experiments import experiment_from
from .help import option
from .options import Options

LIKE_VLLM = "paged"
"""The policy of a log that names none."""

SHARED = (
    *("model", "device", "max_new_tokens", "vram", "kv_budget_tokens"),
    *("kv_blocks", "block_tokens", "max_seqs", "step_tokens"),
)
"""The shared options that describe the engine of a log."""

MODEL_HELP = "The model that the engine of --log runs: one of `warpgroup models`, or a Hugging Face folder."

_PANEL = "A request log of another engine"

LogOption = Annotated[
    Path | None,
    option(
        "--log",
        panel=_PANEL,
        metavar="FILE",
        help="The request log (.csv, .jsonl or .parquet): input and output tokens, times of arrival, first and last "
        "token. Describe the engine with --model, --device and the limits: vLLM's num_gpu_blocks is --kv-blocks, "
        "max_num_seqs is --max-seqs, max_num_batched_tokens is --step-tokens.",
    ),
]
LogColumnsOption = Annotated[
    str | None,
    option(
        "--columns",
        panel=_PANEL,
        metavar="NAMES",
        help="The columns of --log, if they have other names, such as input=prompt_len,output=gen_len. What can be "
        "named: input, output, arrival, first and last; ttft and e2e, counted from the arrival, can replace first and "
        "last.",
    ),
]
LogUnitOption = Annotated[
    str | None,
    option("--time-unit", panel=_PANEL, metavar="UNIT", help="The unit of times in --log: s (default), ms, us or ns."),
]
LogPolicyOption = Annotated[
    str | None,
    option(
        "--policy",
        panel=_PANEL,
        metavar="NAME",
        help="How the engine of --log batches. Default: paged, which is the policy of vLLM.",
    ),
]


def read_log(path: Path, columns: str | None, unit: str | None, options: Options) -> tuple[RequestLog, Experiment]:
    """The log, and its requests on the engine that the options describe.

    Raises InvalidScenario: --model is missing; InvalidTrace: the log cannot be read.
    """
    if options.model is None:
        raise InvalidScenario("--model is missing: a request log does not say which model was run")
    named = columns_given(columns) if columns else {}
    log = read_request_log(path, columns=named, unit=unit or "s", max_new_tokens=options.max_new_tokens)
    terminal.note_trace(log.trace)
    if not log.same_clock:
        terminal.note(
            f"{path}: arrivals and tokens were timed by different clocks, so the waiting times of requests are unknown"
        )
    return log, experiment_from(options, trace=log.trace)[0]
