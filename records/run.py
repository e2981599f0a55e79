"""The record of a run: its schema. A run is a folder (`records.store` writes and reads it):

    run.json           what was run, with which versions and command, and the summary
    requests.parquet   one row a request; where requests wait for each other, who for whom, and the order of submissions
    steps.parquet      one row a step, or a macro-step of many alike
    events.parquet     evictions, resumptions, rejections, failures, degradations, out-of-memory steps

`run.json` is written first with `complete: false` and last with `complete: true`, each time by renaming a
finished temporary file, so that an interrupted run can be read and never looks whole.
"""

import platform
import shlex
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from typing import Annotated, Any

import msgspec
import numpy as np

from ..csrc import BUILD_COMMIT
from ..experiment import Inputs

SCHEMA = 1
AS_RECORDED = "as recorded: "
"""So begins the step-time model of a run that was made again from another's record."""
BLOCKED_BY = ("none", "memory", "count", "tokens", "compute")

Columns = dict[str, np.ndarray[Any, Any]]


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
