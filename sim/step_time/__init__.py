"""How long a step takes: the analytic roofline, calibrated profiles, or any Python function of a step's work."""

from .profile import (
    CalibratedStepTime,
    Corrections,
    Profile,
    Rates,
    RegionError,
    read_profile,
    shipped_profile,
    shipped_profiles,
)
from .roofline import AnalyticStepTime, PerStep, StepTime, analytic_rates, native

__all__ = [
    "AnalyticStepTime",
    "CalibratedStepTime",
    "Corrections",
    "PerStep",
    "Profile",
    "Rates",
    "RegionError",
    "StepTime",
    "analytic_rates",
    "native",
    "read_profile",
    "shipped_profile",
    "shipped_profiles",
]
