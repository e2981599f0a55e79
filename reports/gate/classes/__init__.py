"""The classes of metrics: one module or folder each, listed in `registry.py`."""
