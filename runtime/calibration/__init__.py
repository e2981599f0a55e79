"""Measures the steps of a grid on the device, and fits a profile to them."""
