"""What to run: trace files and their readers, generators, model and device shapes, scenarios."""

from .arrivals import ARRIVAL_FORMS, USERS_FORM, are_drawn, with_arrivals
from .canonical import write_trace
from .generator import GeneratorSpec, generate, generate_from
from .loops import starts_ns
from .model_fit import FitReport, fit
from .model_folder import model_named, read_model_folder
from .prefix_blocks import PrefixBlocks
from .prefix_sharing import PrefixSharing
from .quantities import parse_bytes
from .readers.named_columns import columns_given
from .reading import read_trace, scan_trace
from .request_log import RequestLog, read_request_log
from .scenario import Scenario, load_scenario, scenario_names
from .servegen_files import holds_clients
from .specs import (
    DEFAULT_DEVICE,
    DEFAULT_MODEL,
    DeviceSpec,
    ModelSpec,
    RopeScaling,
    device_names,
    load_device,
    load_model,
    model_names,
)
from .trace import Trace, TraceSource
from .trace_summary import Conversations, LengthSummary, TraceSummary, describe
from .transforms import (
    clip_context,
    dealt_anew,
    dequantize,
    drop_beyond_context,
    head,
    mix,
    quantum_ns,
    scale_rate,
    shuffle_lengths,
    slice_time,
)
from .turns import TURN_COLUMNS, Turns
from .workload_model import WorkloadModel, encode_workload, load_workload, workload_names

__all__ = [
    "ARRIVAL_FORMS",
    "DEFAULT_DEVICE",
    "DEFAULT_MODEL",
    "TURN_COLUMNS",
    "USERS_FORM",
    "Conversations",
    "DeviceSpec",
    "FitReport",
    "GeneratorSpec",
    "LengthSummary",
    "ModelSpec",
    "PrefixBlocks",
    "PrefixSharing",
    "RequestLog",
    "RopeScaling",
    "Scenario",
    "Trace",
    "TraceSource",
    "TraceSummary",
    "Turns",
    "WorkloadModel",
    "are_drawn",
    "clip_context",
    "columns_given",
    "dealt_anew",
    "dequantize",
    "describe",
    "device_names",
    "drop_beyond_context",
    "encode_workload",
    "fit",
    "generate",
    "generate_from",
    "head",
    "holds_clients",
    "load_device",
    "load_model",
    "load_scenario",
    "load_workload",
    "mix",
    "model_named",
    "model_names",
    "parse_bytes",
    "quantum_ns",
    "read_model_folder",
    "read_request_log",
    "read_trace",
    "scale_rate",
    "scan_trace",
    "scenario_names",
    "shuffle_lengths",
    "slice_time",
    "starts_ns",
    "with_arrivals",
    "workload_names",
    "write_trace",
]
