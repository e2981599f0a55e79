"""Runs a step: the model, its CUDA graphs, and the executor that keeps the device busy."""
