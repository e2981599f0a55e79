"""Fits a workload model to a trace, and says how far off it is."""
