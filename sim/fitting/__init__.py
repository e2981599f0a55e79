"""Fits step times to measurements: steps of a calibration, or the request log of an engine."""
