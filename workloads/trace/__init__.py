"""The trace in memory: requests, turns, transforms, summary and shared prefixes."""
