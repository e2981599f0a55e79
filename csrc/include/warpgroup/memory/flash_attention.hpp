#pragma once

#include <cstdint>

namespace warpgroup {

// The memory that FlashAttention-2 (2.8.3) allocates beside its output and its log-sum-exp (4 bytes
// for each token and query head), by the formulas of its flash_api.cpp. Confirmed to the byte on an
// H200 by tests/benchmarks/gpu_flash_attention_memory.py.

struct AttentionShape {
  std::int64_t query_heads;
  std::int64_t kv_heads;
  std::int64_t head_dim;
  std::int64_t dtype_bytes;

  std::int64_t group() const { return query_heads / kv_heads; }
  // The head dimension of accumulators: a multiple of 32, and above 128 a multiple of 64.
  std::int64_t rounded_head_dim() const;
};

// The number of parts into which decode attention splits each row's cache, so that all
// multiprocessors have work: the smallest number with at least 85 % of the best efficiency, where
// efficiency is waves over whole waves. `longest` is the width of the block table in tokens.
std::int64_t num_splits(const AttentionShape& shape, std::int64_t rows, std::int64_t longest,
                        std::int64_t multiprocessors);

// Bytes of decode attention's fp32 accumulators: partial outputs and their log-sum-exps; 0 without
// a split.
std::int64_t split_accumulator_bytes(const AttentionShape& shape, std::int64_t rows,
                                     std::int64_t longest, std::int64_t multiprocessors);

}  // namespace warpgroup
