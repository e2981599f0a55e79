"""Workload models: lengths, sessions and arrivals to draw requests from."""

from .arrivals import ARRIVAL_FORMS, USERS_FORM, are_drawn, check_arrivals, have_users, process_named, with_arrivals
from .generator import GeneratorSpec, generate_from, generate_trace
from .workload_model import WorkloadModel, built_in_workloads, encode_workload, load_workload, workload_names

__all__ = [
    "ARRIVAL_FORMS",
    "USERS_FORM",
    "GeneratorSpec",
    "WorkloadModel",
    "are_drawn",
    "built_in_workloads",
    "check_arrivals",
    "encode_workload",
    "generate_from",
    "generate_trace",
    "have_users",
    "load_workload",
    "process_named",
    "with_arrivals",
    "workload_names",
]
