"""Attention of a step over the paged KV caches: one interface, a registry, and one module for each backend.

`interface` says what a step asks of a backend, `registry` lists the backends, `choice` picks one for a machine.
`paged` has our own kernels for small blocks, `flash` calls flash-attn 2, `torch_flash` calls the FlashAttention-2 that
torch has built in, `sdpa` runs on any device.
"""
