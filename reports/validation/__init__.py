"""Simulated beside measured: how far off the simulator is."""
