"""The memory of the device.

`kv_pool` holds the KV blocks, in the `virtual_memory` of the device; `vram` measures what other processes use;
`vram_cap` keeps this process under its cap.
"""
