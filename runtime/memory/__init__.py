"""GPU memory: the KV pool, the cap on VRAM, and what the device reports."""
