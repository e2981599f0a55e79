"""Measures the durations of steps on the device.

`step_grid` says which steps, `point_run` runs those of one point of the grid, `calibrate` goes through all points.
"""
