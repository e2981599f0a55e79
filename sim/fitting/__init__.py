"""Fits step times to measurements: to the measured steps of a calibration, or to the request log of another engine."""

from .log_fit import LogFit, fit_log
from .measured_steps import MeasuredSteps, StepSource, join_steps, read_steps, steps_of_run, write_steps
from .request_log import align_clocks, run_from_log
from .step_fit import COLUMNS, StepFit, fit_profile, step_errors

__all__ = [
    "COLUMNS",
    "LogFit",
    "MeasuredSteps",
    "StepFit",
    "StepSource",
    "align_clocks",
    "fit_log",
    "fit_profile",
    "join_steps",
    "read_steps",
    "run_from_log",
    "step_errors",
    "steps_of_run",
    "write_steps",
]
