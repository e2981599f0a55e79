"""The inputs of a step: batches, pinned host memory and uploads to the device."""
