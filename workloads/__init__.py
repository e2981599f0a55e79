"""What to run: trace files and their readers, generators, model and device shapes, scenarios."""

from .arrivals import dealt_anew, scale_rate, with_arrivals
from .canonical import write_trace
from .generator import GeneratorSpec, generate, mixture_names
from .model_folder import read_model_folder
from .quantities import parse_bytes
from .reading import read_trace, scan_trace
from .request_log import RequestLog, read_request_log
from .scenario import Scenario, load_scenario, scenario_names
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
from .trace_summary import LengthSummary, TraceSummary, describe

__all__ = [
    "DEFAULT_DEVICE",
    "DEFAULT_MODEL",
    "DeviceSpec",
    "GeneratorSpec",
    "LengthSummary",
    "ModelSpec",
    "RequestLog",
    "RopeScaling",
    "Scenario",
    "Trace",
    "TraceSource",
    "TraceSummary",
    "dealt_anew",
    "describe",
    "device_names",
    "generate",
    "load_device",
    "load_model",
    "load_scenario",
    "mixture_names",
    "model_names",
    "parse_bytes",
    "read_model_folder",
    "read_request_log",
    "read_trace",
    "scale_rate",
    "scan_trace",
    "scenario_names",
    "with_arrivals",
    "write_trace",
]
