"""The inputs of a step.

`inputs` lays them out in one slab of `pinned_memory`, `upload` copies the slab to the device, and `batch` is what the
model sees there.
"""
