"""The record of a run or a sweep, on disk and in memory, and every metric computed from it."""

from .run import (
    BLOCKED_BY,
    Columns,
    Kind,
    MachineInfo,
    MemoryInfo,
    Run,
    RunInfo,
    ScenarioInfo,
    TraceInfo,
    command_line,
    versions,
)
from .store import (
    claim_folder,
    fresh_folder,
    read_info,
    read_run,
    refuse_existing,
    refuse_stripped,
    remove_run,
    run_folders,
    write_run,
)

__all__ = [
    "BLOCKED_BY",
    "Columns",
    "Kind",
    "MachineInfo",
    "MemoryInfo",
    "Run",
    "RunInfo",
    "ScenarioInfo",
    "TraceInfo",
    "claim_folder",
    "command_line",
    "fresh_folder",
    "read_info",
    "read_run",
    "refuse_existing",
    "refuse_stripped",
    "remove_run",
    "run_folders",
    "versions",
    "write_run",
]
