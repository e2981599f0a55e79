"""Workload models: lengths, arrivals and sessions to draw requests from."""
