"""The highest rate of requests that each policy can serve: trials over rates and seeds, on processes or on Ray."""

from .capacity import rates_of
from .estimate import SweepEstimate, TrialTimes, estimate_sweep, time_trials
from .journal import Journal
from .run import searches_of, sweep
from .search import CapacitySearch, Question
from .trials import SweepSetting
from .workers import WORKER_KINDS, Workers, check_workers, open_workers

__all__ = [
    "WORKER_KINDS",
    "CapacitySearch",
    "Journal",
    "Question",
    "SweepEstimate",
    "SweepSetting",
    "TrialTimes",
    "Workers",
    "check_workers",
    "estimate_sweep",
    "open_workers",
    "rates_of",
    "searches_of",
    "sweep",
    "time_trials",
]
