"""Measures the durations of steps on the device: `step_grid` says which steps, `calibrate` runs them."""
