"""The C++ core: bin packing, VRAM arithmetic, the batching policies and the scheduler.

It knows neither a clock nor a device. An executor (the simulator, the GPU runtime) submits requests, runs
the plans it gets and commits what came of them; see `Scheduler` in `_core.pyi` for the contract.
"""

from ._core import (
    BUILD_COMMIT,
    EVENTS,
    STATUSES,
    STEP_EVENTS,
    STEP_FIELDS,
    BinPacker,
    BlockedBy,
    MemoryModel,
    ModelGeometry,
    Packing,
    Policy,
    PolicyInfo,
    Degradation,
    Recorder,
    RooflineStepTime,
    Scheduler,
    SimulatedEngine,
    StepRecord,
    StepPlan,
    StepWork,
    pack,
    packing_algorithms,
    policy_catalogue,
)
from .policy_spec import PolicySpec, parse_policies, parse_policy

__all__ = [
    "BUILD_COMMIT",
    "EVENTS",
    "STATUSES",
    "STEP_EVENTS",
    "STEP_FIELDS",
    "BinPacker",
    "BlockedBy",
    "MemoryModel",
    "ModelGeometry",
    "Packing",
    "Policy",
    "PolicyInfo",
    "PolicySpec",
    "Degradation",
    "Recorder",
    "RooflineStepTime",
    "Scheduler",
    "SimulatedEngine",
    "StepRecord",
    "StepPlan",
    "StepWork",
    "pack",
    "packing_algorithms",
    "parse_policies",
    "parse_policy",
    "policy_catalogue",
]
