"""The simulator: drives the core's scheduler over a trace, with predicted step durations on a SimPy clock."""

from .ablation import Rung, climb, ladder, take_down
from .compare import compare
from .count_search import best_safe_count
from .parity import Parity, follow
from .simulate import as_step_time, simulate
from .step_time.roofline import AnalyticStepTime, PerStep, StepTime

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
