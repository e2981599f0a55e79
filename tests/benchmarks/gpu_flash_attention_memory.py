"""Measures the memory that FlashAttention-2 allocates, against the core's formulas. Needs a GPU and flash-attn.

    python tests/benchmarks/gpu_flash_attention_memory.py FILE.csv

Measured: the peak of torch's allocator during a call, less what it held before. Predicted: the sum of the function's
own tensors, each rounded up to the allocator's 512 bytes. reports/results/flash_attention_memory_h200.csv is one run.
"""

import sys

import pandas as pd
import torch
from flash_attn import flash_attn_varlen_func, flash_attn_with_kvcache

from warpgroup.csrc import ModelGeometry, num_splits

PAGE = 256
SHAPES = {"llama-3.1-8b": (32, 8, 128), "qwen2.5-7b": (28, 4, 128), "llama-2-7b": (32, 32, 128)}


def rounded(*sizes: int) -> int:
    return sum(-(-size // 512) * 512 for size in sizes)


def measured(call) -> int:
    call()  # the first call may allocate memory that stays
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    kept = call()
    torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated() - before
    del kept
    return peak


def decode(geometry: ModelGeometry, heads: tuple[int, int, int], rows: int, longest: int) -> tuple[int, int, int]:
    query_heads, kv_heads, dim = heads
    pages = longest // PAGE
    pool = torch.zeros(2, rows * pages, PAGE, kv_heads, dim, dtype=torch.bfloat16, device="cuda")
    table = torch.arange(rows * pages, dtype=torch.int32, device="cuda").reshape(rows, pages)
    lengths = torch.full((rows,), longest - 1, dtype=torch.int32, device="cuda")
    q = torch.randn(rows, 1, query_heads, dim, dtype=torch.bfloat16, device="cuda")
    peak = measured(
        lambda: flash_attn_with_kvcache(q, pool[0], pool[1], cache_seqlens=lengths, block_table=table, causal=True)
    )
    sms = torch.cuda.get_device_properties(0).multi_processor_count
    splits = num_splits(geometry, rows=rows, longest=longest, multiprocessors=sms)
    own = [rows * query_heads * dim * 2, rows * query_heads * 4]
    if splits > 1:
        own += [splits * rows * query_heads * 4, splits * rows * query_heads * dim * 4]
    return splits, peak, rounded(*own)


def prefill(heads: tuple[int, int, int], tokens: int) -> tuple[int, int]:
    query_heads, kv_heads, dim = heads
    q = torch.randn(tokens, query_heads, dim, dtype=torch.bfloat16, device="cuda")
    kv = torch.randn(2, tokens, kv_heads, dim, dtype=torch.bfloat16, device="cuda")
    edges = torch.tensor([0, tokens // 3, tokens], dtype=torch.int32, device="cuda")
    longest = tokens - tokens // 3
    peak = measured(lambda: flash_attn_varlen_func(q, kv[0], kv[1], edges, edges, longest, longest, causal=True))
    return peak, rounded(tokens * query_heads * dim * 2, query_heads * tokens * 4, 16)


def main() -> None:
    found = []
    for name, heads in SHAPES.items():
        geometry = ModelGeometry(
            layers=1, hidden=4096, query_heads=heads[0], kv_heads=heads[1], head_dim=heads[2], intermediate=64, vocab=64
        )
        for rows in (1, 4, 16, 26, 27, 52, 53, 128):
            for longest in (768, 4096, 16_384):
                splits, peak, predicted = decode(geometry, heads, rows, longest)
                found.append(("decode", name, rows, longest, splits, peak, predicted))
        for tokens in (300, 2048, 8192):
            peak, predicted = prefill(heads, tokens)
            found.append(("prefill", name, tokens, tokens, 1, peak, predicted))
    table = pd.DataFrame(found, columns=["call", "shape", "rows", "longest", "splits", "measured", "predicted"])
    table["off_by"] = table.measured - table.predicted
    print(torch.cuda.get_device_name(), torch.__version__)
    print(table.to_string(index=False))
    print(f"exact in {(table.off_by == 0).sum()} of {len(table)}; largest difference {table.off_by.abs().max()} bytes")
    table.to_csv(sys.argv[1], index=False)


if __name__ == "__main__":
    main()
