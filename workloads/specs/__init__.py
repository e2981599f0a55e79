"""Model shapes and devices: the built-in catalogue, and model folders."""
