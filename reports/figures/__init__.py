"""The figures of a run: one module a figure."""
