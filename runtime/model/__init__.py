"""The decoder: its weights, its forward pass, and the operations that the pass is made of.

`operations` is the interface, `torch_operations` the reference in PyTorch, `triton_operations` the kernels for GPUs,
`small_batch_gemm` their matrix products of few rows.
"""
