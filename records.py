"""The record of a run: its schema, an atomic writer and a reader. A run is a folder:

    run.json           what was run, with which versions and command, and the summary
    requests.parquet   one row a request; where requests wait for each other, who for whom, and the order of submissions
    steps.parquet      one row a step, or a macro-step of many alike
    events.parquet     evictions, resumptions, rejections, failures, degradations, out-of-memory steps

`run.json` is written first with `complete: false` and last with `complete: true`, each time by renaming a
finished temporary file, so that an interrupted run can be read and never looks whole.
"""

import os
import platform
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from .csrc import BUILD_COMMIT, EVENTS, STATUSES, STEP_EVENTS, policy_catalogue
from .errors import InvalidRun, OutputRefused
from .experiment import Inputs

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA = 1
_INFO = "run.json"
AS_RECORDED = "as recorded: "
"""So begins the step-time model of a run that was made again from another's record."""
BLOCKED_BY = ("none", "memory", "count", "tokens", "compute")

Columns = dict[str, np.ndarray[Any, Any]]

_CODED: dict[str, dict[str, tuple[str, ...]]] = {
    "requests": {"status": STATUSES},
    "steps": {"blocked_by": BLOCKED_BY, "event": STEP_EVENTS},
    "events": {"event": EVENTS},
}


class TraceInfo(msgspec.Struct, frozen=True):
    """Which requests were run. `content_hash` names the rows, `file_sha256` the file they came from."""

    name: str
    content_hash: str
    format: str
    file: str
    file_sha256: str
    requests: int
    rows_read: int
    dropped: dict[str, int]
    repaired: dict[str, int]
    max_new_tokens: int
    arrivals: str
    rate_scale: float
    over_context: int  # requests longer than the model's context window
    waiting: int = 0  # requests that come when another has ended
    transforms: tuple[str, ...] = ()  # what was done to the trace after it was read or generated


_Positive = Annotated[int, msgspec.Meta(gt=0)]
_Size = Annotated[int, msgspec.Meta(ge=0)]


class MemoryInfo(msgspec.Struct, frozen=True):
    """Where the VRAM budget goes, in bytes."""

    budget_bytes: _Positive
    weight_bytes: _Size
    context_bytes: _Size
    graph_pool_bytes: _Size
    activation_reserve_bytes: _Size  # no step needs more
    largest_prefill: dict[str, int]  # the tensors of a step that prefills all it may, by name
    largest_decode: dict[str, int]  # of a step in which all decode that may run
    kv_pool_bytes: int
    kv_bytes_per_token: int
    block_tokens: int
    pool_blocks: int

    @property
    def fixed_bytes(self) -> int:
        """Held whatever runs."""
        return self.weight_bytes + self.context_bytes + self.graph_pool_bytes


class ScenarioInfo(msgspec.Struct, frozen=True):
    """Everything that decides a run but the policy and the seed."""

    name: str
    trace: TraceInfo
    model: str
    device: str
    memory: MemoryInfo
    max_seqs: int
    step_tokens: int
    slo_ttft_s: float
    slo_tpot_s: float
    step_time: str  # which step-time model, or the machine that was measured
    inputs: Inputs | None = None  # what it was made of; not in records of versions before this was kept


class MachineInfo(msgspec.Struct, frozen=True):
    """What a real run ran on, and what only a real run can tell. Sizes in bytes."""

    device: str
    driver: str
    dtype: str
    attention: str  # the backend that was used
    plan_ahead: int  # 1: each step was planned while the one before it ran
    graphs: int  # captured CUDA graphs
    temperature: float  # 0: greedy
    fixed_bytes: int  # held before the first step: weights, context, workspaces, graphs
    predicted_peak_bytes: int  # most that a step was predicted to need: fixed, KV blocks held, temporary tensors
    measured_peak_bytes: int  # the same, the temporary tensors as the allocator counted them
    predicted_temporary_bytes: int  # the largest step's tensors, by the memory model
    measured_temporary_bytes: int  # by the allocator
    process_peak_bytes: int  # most that the process used, KV blocks that nobody held included
    device_peak_bytes: int  # most in use on the device by anybody, as sampled
    busy_share: float  # of the time from the first step to the last, in which the device computed
    host_gap_s: float  # mean time between two steps, while there was work, in which it did not
    schedule_lag_p99_s: float  # how late requests were submitted, against their arrival times
    degraded: bool  # the lag was too long: the run was not the one that was asked for
    graph_rows: list[int] = []  # rows of the graphs that decode: a step of fewer is filled up to the next


class RunInfo(msgspec.Struct):
    """`run.json`."""

    kind: str  # simulated | real
    policy: str
    scenario: ScenarioInfo
    seed: int
    plan_hash: str
    complete: bool
    versions: dict[str, str]
    command: str
    note: str = ""  # how the policy's parameters were chosen, if not by the user
    switch: str = ""  # the one thing in which the run differs from the one before it, of an attribution
    upper_bound: bool = False  # the policy saw true output lengths: no engine could do this
    machine: MachineInfo | None = None  # of a real run
    summary: dict[str, Any] = {}
    schema: int = SCHEMA

    @property
    def label(self) -> str:
        """The policy as it is shown."""
        return f"{self.policy} (upper bound)" if self.upper_bound else self.policy

    @property
    def is_planned_again(self) -> bool:
        """A simulation with a measurement's own times: it says whether the plans agree, and predicts nothing."""
        return self.kind == "simulated" and self.scenario.step_time.startswith(AS_RECORDED)


@dataclass(frozen=True, slots=True)
class Run:
    """A run in memory: columns as integer arrays (times in ns, sizes in bytes), codes as positions in the
    tuples above.
    """

    info: RunInfo
    requests: Columns
    steps: Columns
    events: Columns


def versions(*more: str) -> dict[str, str]:
    """The versions that can change a result, of `more` packages too if here, and the core's commit if known."""
    found = {"warpgroup": metadata.version("warpgroup"), "python": platform.python_version()}
    for name in ("numpy", "simpy", *more):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found | ({"commit": BUILD_COMMIT} if BUILD_COMMIT else {})


def command_line() -> str:
    """As it was typed, to be typed again: what a record calls its command."""
    return shlex.join(["warpgroup", *sys.argv[1:]])


def claim_folder(folder: Path, *, force: bool = False, resume: bool = False) -> None:
    """Make `folder` ready to be written into.

    Raises:
        OutputRefused: it holds something (and neither `force` nor `resume` was said), is a file, or cannot be
            written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = any(folder.iterdir())
    except OSError as error:
        raise OutputRefused(f"cannot write to {folder}: {error.strerror}; choose another --out") from None
    if occupied and not (force or resume):
        raise OutputRefused(
            f"{folder} is not empty: choose another --out, or --force to overwrite, or --resume to continue"
        )
    if not os.access(folder, os.W_OK):
        raise OutputRefused(f"cannot write to {folder}: permission denied; choose another --out")


def fresh_folder() -> Path:
    """The next numbered one in warpgroup-runs."""
    base = Path("warpgroup-runs")
    taken = [int(each.name) for each in base.glob("[0-9]*") if each.name.isdigit()]
    return base / f"{max(taken, default=0) + 1:03d}"


def refuse_existing(output: Path, option: str, *, force: bool) -> None:
    """Raises OutputRefused: a file is there already and `force` was not said, or its folder is missing."""
    if output.exists() and not force:
        raise OutputRefused(f"{output} exists: choose another {option}, or --force to overwrite it")
    if not output.parent.is_dir():
        raise OutputRefused(f"{output.parent} is not a folder: create it, or choose another {option}")


def write_run(folder: Path, run: Run) -> None:
    """Write all four files. Raises OutputRefused if that is impossible; what was there is replaced."""
    import pyarrow.parquet as pq

    try:
        with _interrupts_deferred():
            folder.mkdir(parents=True, exist_ok=True)
            _write_json(folder / _INFO, msgspec.structs.replace(run.info, complete=False))
            for name, columns in (("requests", run.requests), ("steps", run.steps), ("events", run.events)):
                part = folder / f"{name}.parquet.part"
                pq.write_table(_table(columns, _CODED[name]), part, compression="zstd", write_page_checksum=True)
                part.replace(folder / f"{name}.parquet")
            if run.info.complete:
                _write_json(folder / _INFO, run.info)
    except OSError as error:
        raise OutputRefused(f"cannot write the run to {folder}: {error.strerror or error}") from None


def remove_run(folder: Path) -> None:
    """Delete the four files, and the folder if that was all in it. Raises OutputRefused if that is impossible."""
    try:
        for name in (_INFO, *(f"{table}.parquet" for table in _CODED)):
            (folder / name).unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise OutputRefused(f"cannot delete the run in {folder}: {error.strerror or error}") from None


@contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Ctrl-C waits until the block is done: half a folder could not be read. (Other threads never get it.)"""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: caught.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if caught:
        raise KeyboardInterrupt


def read_info(folder: Path) -> RunInfo:
    """`run.json` alone. Raises InvalidRun."""
    from .record_check import fault_of_info

    path = folder / _INFO
    try:
        info = msgspec.json.decode(path.read_bytes(), type=RunInfo)
        msgspec.json.encode(info)  # some of what can be read is too large to be written again
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidRun(_no_run(folder)) from None
    except OSError as error:
        raise InvalidRun(f"cannot read {path}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeError, OverflowError) as error:
        raise InvalidRun(f"{path} is not a run record: {_reason(error)}; run it again") from None
    if info.schema > SCHEMA:
        raise InvalidRun(f"{path} has schema {info.schema}, this version reads up to {SCHEMA}: update warpgroup")
    if fault := fault_of_info(info):
        raise InvalidRun(f"{path}: {fault}; run it again, or update warpgroup if a newer one made it")
    return info


def _no_run(folder: Path) -> str:
    """Why there is no run in it, and where there is one."""
    if not folder.exists():
        return f"there is no file or folder {folder}: expected the folder of a run"
    if not folder.is_dir():
        return f"{folder} is a file: expected the folder of a run{', its own' if folder.name == _INFO else ''}"
    refuse_stripped(folder)
    inside = ", ".join(str(each.parent) for each in sorted(folder.glob(f"*/{_INFO}")))
    return f"{folder} is not a run: it has no {_INFO}{f'; runs in it: {inside}' if inside else ''}"


def refuse_stripped(folder: Path) -> None:
    """Raises InvalidRun: a folder with tables of a run, whole or in parts, that has lost its `run.json`."""
    if (folder / _INFO).exists():
        return
    names = [f"{_INFO}.part", *(f"{table}.parquet{end}" for table in _CODED for end in ("", ".part"))]
    if left := [name for name in names if (folder / name).exists()]:
        raise InvalidRun(f"{folder} has {left[0]}, but no {_INFO}: run it again, or take it away")


def read_run(folder: Path) -> Run:
    """A whole run, complete or not. Raises InvalidRun: it cannot be read, or its files do not belong together."""
    from .record_check import fault_of

    info = read_info(folder)
    run = Run(info, **{name: _read_table(folder / f"{name}.parquet", codes) for name, codes in _CODED.items()})
    if fault := fault_of(run):
        raise InvalidRun(f"{folder}: {fault}; run it again")
    return run


def _read_table(path: Path, codes: Mapping[str, tuple[str, ...]]) -> Columns:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return _columns(pq.read_table(path, page_checksum_verification=True), codes)
    except FileNotFoundError:
        raise InvalidRun(f"{path} is missing; run it again") from None
    except (OSError, pa.ArrowException, LookupError, TypeError, ValueError, OverflowError, MemoryError) as error:
        raise InvalidRun(f"cannot read {path}: {_reason(error)}; run it again") from None


def _reason(error: Exception) -> str:
    """In one line that can be gone on with."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def run_folders(path: Path) -> list[Path]:
    """The folder itself, or the runs in it, in the order of the policies' catalogue.

    Raises InvalidRun: a folder without a run, or with one that has lost its `run.json`.
    """
    if (path / _INFO).exists() or not path.is_dir():
        return [path]
    refuse_stripped(path)
    for each in sorted(path.iterdir()):
        refuse_stripped(each)
    shown = [info.id for info in policy_catalogue()]
    below = [each.parent for each in sorted(path.glob(f"*/{_INFO}"))]
    below.sort(key=lambda folder: shown.index(read_info(folder).policy.partition("(")[0]))
    if not below:
        raise InvalidRun(f"{path} holds no run: expected {_INFO} in it, or in a folder below it")
    return below


def _write_json(path: Path, info: RunInfo) -> None:
    part = path.with_suffix(".json.part")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(info, order="sorted"), indent=1) + b"\n")
    part.replace(path)


def _table(columns: Columns, codes: Mapping[str, tuple[str, ...]]) -> "pa.Table":
    import pyarrow as pa

    def arrow(name: str, values: np.ndarray[Any, Any]) -> "pa.Array":
        if name in codes:
            return pa.DictionaryArray.from_arrays(pa.array(values.astype(np.int8)), pa.array(codes[name]))
        return pa.array(values)

    return pa.table({name: arrow(name, values) for name, values in columns.items()})


def _columns(table: "pa.Table", codes: Mapping[str, tuple[str, ...]]) -> Columns:
    columns = {}
    for name in table.column_names:
        values = table[name].to_numpy()
        if name in codes:
            position = {text: i for i, text in enumerate(codes[name])}
            values = np.array([position[text] for text in values], dtype=np.int8)
        columns[name] = values
    return columns
