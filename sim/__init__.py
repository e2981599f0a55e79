"""The simulator: it drives the core's scheduler over a trace, with predicted step durations on a SimPy clock."""

from .ablation import AblationStep, ablation_steps
from .ablation_runs import remove_ablation, run_ablation
from .compare import compare
from .count_search import best_safe_count
from .parity import Parity, follow
from .simulate import as_step_time, simulate
from .step_time import AnalyticStepTime, PerStep, StepTime

__all__ = [
    "AblationStep",
    "AnalyticStepTime",
    "Parity",
    "PerStep",
    "StepTime",
    "ablation_steps",
    "as_step_time",
    "best_safe_count",
    "compare",
    "follow",
    "remove_ablation",
    "run_ablation",
    "simulate",
]
