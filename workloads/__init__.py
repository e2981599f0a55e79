"""What to run: trace files and their readers, generators, model and device shapes, scenarios."""

from .fitting.model_fit import FitReport, fit
from .models.arrivals import ARRIVAL_FORMS, USERS_FORM, are_drawn, with_arrivals
from .models.generator import GeneratorSpec, generate, generate_from
from .models.workload_model import WorkloadModel, encode_workload, load_workload, workload_names
from .quantities import parse_bytes
from .readers.named_columns import columns_given
from .reading.canonical import write_trace
from .reading.reading import read_trace, scan_trace
from .reading.request_log import RequestLog, read_request_log
from .reading.servegen_files import holds_clients
from .scenarios.scenario import Scenario, load_scenario, scenario_names
from .specs.model_folder import model_named, read_model_folder
from .specs.specs import (
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
from .trace.loops import starts_ns
from .trace.prefix_blocks import PrefixBlocks
from .trace.prefix_sharing import PrefixSharing
from .trace.trace import Trace, TraceSource
from .trace.trace_summary import Conversations, LengthSummary, TraceSummary, describe
from .trace.transforms import (
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
from .trace.turns import TURN_COLUMNS, Turns

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
