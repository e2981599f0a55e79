"""Fits a workload model to a trace, and measures its distance from the trace."""

from .model_fit import FitReport, fit

__all__ = ["FitReport", "fit"]
