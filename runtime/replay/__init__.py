"""Replays a trace: arrivals on a clock, plans, commits and the record."""
