#pragma once

#include <cstdint>

namespace warpgroup {

// What FlashAttention-2 (2.8.3) allocates on its own beside its output and its log-sum-exp (4 bytes
// a token and query head), by the formulas of its flash_api.cpp. Confirmed to the byte on an H200:
// tests/benchmarks/gpu_flash_attention_memory.py.

struct AttentionShape {
  std::int64_t query_heads;
  std::int64_t kv_heads;
  std::int64_t head_dim;
  std::int64_t dtype_bytes;

  std::int64_t group() const { return query_heads / kv_heads; }
  // Accumulators are padded to whole 32s, and to 64s above 128.
  std::int64_t rounded_head_dim() const;
};

// Into how many parts decode attention splits each row's cache, so that all multiprocessors have
// work: the smallest number of parts whose last wave is at least 85 % as full as the best one's.
// `longest` is the width of the block table in tokens, not the real lengths.
std::int64_t num_splits(const AttentionShape& shape, std::int64_t rows, std::int64_t longest,
                        std::int64_t multiprocessors);

// fp32 accumulators of decode attention: split outputs and their log-sum-exps; 0 if nothing splits.
std::int64_t split_accumulator_bytes(const AttentionShape& shape, std::int64_t rows,
                                     std::int64_t longest, std::int64_t multiprocessors);

}  // namespace warpgroup
