"""The record of a run: its schema. A run is a folder (`records.store` writes and reads it):

    run.json           what was run, with which versions and command, and the summary
    requests.parquet   one row per request; in a closed loop also which request each one follows, and the order of
                       submission
    steps.parquet      one row per step, or per macro-step (many equal steps as one)
    events.parquet     evictions, resumptions, rejections, failures, degradations, out-of-memory steps

`run.json` is written first with `complete: false` and last with `complete: true`, each time by renaming a
finished temporary file. So an interrupted run can be read, and never looks complete.
"""

import platform
import shlex
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from ..csrc import BUILD_COMMIT, PolicySpec, policy_catalogue
from ..experiment import Inputs

SCHEMA = 2
"""Older records are brought to this form when they are read: see `records.upgrade`."""

BLOCKED_BY = ("none", "memory", "count", "tokens", "compute")

Columns = dict[str, np.ndarray[Any, Any]]

Kind = Literal["simulated", "real", "log"]
"""Where a run comes from: the simulator, our runtime on a device, or the request log of another engine. Runs of a log
are never written to disk."""


class TraceInfo(msgspec.Struct, frozen=True):
    """Which requests were run. `content_hash` identifies the rows, `file_sha256` the file that they came from."""

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
    waiting: int = 0  # requests that arrive when another one has ended (closed loop)
    transforms: tuple[str, ...] = ()  # what was done to the trace after it was read or generated


_Positive = Annotated[int, msgspec.Meta(gt=0)]
_Size = Annotated[int, msgspec.Meta(ge=0)]


class MemoryInfo(msgspec.Struct, frozen=True):
    """Where the VRAM budget goes, in bytes."""

    budget_bytes: _Positive
    weight_bytes: _Size
    context_bytes: _Size
    graph_pool_bytes: _Size
    activation_reserve_bytes: _Size  # the largest step needs this much
    largest_prefill: dict[str, int]  # bytes of each tensor of the largest prefill step, by name
    largest_decode: dict[str, int]  # the same for the largest decode step
    kv_pool_bytes: int
    kv_bytes_per_token: int
    block_tokens: int
    pool_blocks: int

    @property
    def fixed_bytes(self) -> int:
        """What is in use even when no request runs."""
        return self.weight_bytes + self.context_bytes + self.graph_pool_bytes


class ScenarioInfo(msgspec.Struct, frozen=True):
    """Everything that decides a run except the policy and the seed."""

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
    inputs: Inputs | None = None  # model, device and limits in full; None in old records, which lack them
    recorded_times: bool = False  # step durations are those that `step_time` measured, not a model's


class MachineInfo(msgspec.Struct, frozen=True):
    """The machine of a real run, and what can only be measured there. Sizes in bytes."""

    device: str
    driver: str
    dtype: str
    attention: str  # the attention backend
    plan_ahead: int  # 1: each step was planned while the step before it ran
    graphs: int  # captured CUDA graphs
    temperature: float  # 0: greedy
    fixed_bytes: int  # in use before the first step: weights, context, workspaces, graphs
    predicted_peak_bytes: int  # largest predicted need of a step: fixed, KV blocks held, temporary tensors
    measured_peak_bytes: int  # the same, with the temporary tensors that the allocator counted
    predicted_temporary_bytes: int  # the largest step's temporary tensors, by the memory model
    measured_temporary_bytes: int  # the same, by the allocator
    process_peak_bytes: int  # peak use of the process, including free KV blocks
    device_peak_bytes: int  # peak use of the device by all processes, as sampled
    busy_share: float  # share of the time from the first step to the last in which the device computed
    host_gap_s: float  # mean idle time of the device between two steps while there was work
    schedule_lag_p99_s: float  # how late requests were submitted, relative to their arrival times
    degraded: bool  # the lag was too long: the device did not get the load that was asked for
    graph_rows: list[int] = []  # batch sizes of the decode graphs; a smaller batch is padded to the next size


class RunInfo(msgspec.Struct):
    """`run.json`."""

    kind: Kind
    policy: str
    scenario: ScenarioInfo
    seed: int
    plan_hash: str
    complete: bool
    versions: dict[str, str]
    command: str
    note: str = ""  # how the policy's parameters were chosen, if not by the user
    switch: str = ""  # in an ablation: the one switch in which the run differs from the run before it
    upper_bound: bool = False  # the policy saw true output lengths, which no engine can
    machine: MachineInfo | None = None  # None for simulated runs
    summary: dict[str, Any] = {}  # as `metrics.Summary`
    schema: int = SCHEMA

    @property
    def label(self) -> str:
        """The policy as reports show it."""
        return f"{self.policy} (upper bound)" if self.upper_bound else self.policy

    @property
    def policy_id(self) -> str:
        """The policy without its parameters."""
        return self.policy.partition("(")[0]

    @property
    def counts_requests(self) -> bool:
        """Whether the policy caps a batch by its number of requests, and so ignores memory."""
        spec = known_policy(self.policy)
        return spec is not None and spec.counts_requests

    @property
    def is_padded(self) -> bool:
        """Whether the policy pads its batches to their longest request."""
        spec = known_policy(self.policy)
        return spec is not None and spec.build().is_padded

    @property
    def is_parity_check(self) -> bool:
        """Whether this simulation repeats a real run with the step durations measured there.

        It shows whether simulator and runtime make the same plans. It predicts nothing.
        """
        return self.kind == "simulated" and self.scenario.recorded_times


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A run in memory.

    Columns are integer arrays: times in ns, sizes in bytes. A coded column (status, event, blocked_by) holds positions
    in its tuple of names (`STATUSES`, `EVENTS`, `STEP_EVENTS`, `BLOCKED_BY`).
    """

    info: RunInfo
    requests: Columns
    steps: Columns
    events: Columns


def known_policy(policy: str) -> PolicySpec | None:
    """The policy of a record with its default parameters; None if this version does not know it."""
    name = policy.partition("(")[0]
    return PolicySpec(name) if name in [info.id for info in policy_catalogue()] else None


def versions(*more: str) -> dict[str, str]:
    """The versions of all packages that can change a result, and the core's commit if it is known.

    Args:
        more: further packages; those that are not installed are left out.
    """
    found = {"warpgroup": metadata.version("warpgroup"), "python": platform.python_version()}
    for name in ("numpy", "simpy", *more):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found | ({"commit": BUILD_COMMIT} if BUILD_COMMIT else {})


def command_line() -> str:
    """The command as it was typed: what a record keeps as its command."""
    return shlex.join(["warpgroup", *sys.argv[1:]])
