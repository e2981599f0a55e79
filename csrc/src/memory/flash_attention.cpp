#include "warpgroup/memory/flash_attention.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "warpgroup/memory/memory.hpp"

namespace warpgroup {

std::int64_t AttentionShape::rounded_head_dim() const {
  return round_up(head_dim, head_dim > 128 ? 64 : 32);
}

std::int64_t num_splits(const AttentionShape& shape, std::int64_t rows, std::int64_t longest,
                        std::int64_t multiprocessors) {
  constexpr std::int64_t kMostSplits = 128;
  const std::int64_t slots = 2 * multiprocessors;
  // With one query token, the heads of a group become the rows of one tile of 64.
  const std::int64_t tiles = rows * shape.kv_heads * ceil_div(shape.group(), 64);
  const std::int64_t key_block = shape.head_dim <= 64 ? 256 : (shape.head_dim <= 128 ? 128 : 64);
  const std::int64_t key_blocks = ceil_div(longest, key_block);
  if (5 * tiles >= 4 * slots || key_blocks == 0) return 1;

  const std::int64_t most = std::min({kMostSplits, slots, key_blocks});
  const auto eligible = [&](std::int64_t splits) {
    return splits == 1 || ceil_div(key_blocks, splits) != ceil_div(key_blocks, splits - 1);
  };
  const auto efficiency = [&](std::int64_t splits) {
    const double waves = static_cast<double>(tiles * splits) / static_cast<double>(slots);
    return waves / std::ceil(waves);
  };
  double best = 0;
  for (std::int64_t s = 1; s <= most; ++s) {
    if (eligible(s)) best = std::max(best, efficiency(s));
  }
  for (std::int64_t s = 1; s <= most; ++s) {
    if (eligible(s) && efficiency(s) >= 0.85 * best) return s;
  }
  return 1;
}

std::int64_t split_accumulator_bytes(const AttentionShape& shape, std::int64_t rows,
                                     std::int64_t longest, std::int64_t multiprocessors) {
  const std::int64_t splits = num_splits(shape, rows, longest, multiprocessors);
  if (splits == 1) return 0;
  return splits * rows * shape.query_heads * (shape.rounded_head_dim() + 1) * 4;
}

}  // namespace warpgroup
