"""The simulator: drives the core's scheduler over a trace, with predicted step durations on a SimPy clock."""

from .attribution import Rung, climb, ladder, take_down
from .compare import compare
from .recorded import Parity, follow
from .search import best_safe_count
from .simulate import as_step_time, simulate
from .step_time import AnalyticStepTime, PerStep, StepTime

__all__ = [
    "AnalyticStepTime",
    "Parity",
    "PerStep",
    "Rung",
    "StepTime",
    "as_step_time",
    "best_safe_count",
    "climb",
    "compare",
    "follow",
    "ladder",
    "simulate",
    "take_down",
]
