#include "warpgroup/scheduler/batching/chunk_limit.hpp"

#include <algorithm>

namespace warpgroup {

namespace {

constexpr std::int64_t kSmallestChunk = 64;

}  // namespace

std::int64_t ChunkLimit::now() const {
  const std::int64_t chunk = state_.policy.chunk_tokens;
  const bool memory_is_short = chunk > 0 && 2 * state_.used_blocks > state_.pool_blocks;
  return memory_is_short ? std::min(chunk, limit_) : limit_;
}

bool ChunkLimit::halve(std::int64_t prefill_tokens) {
  if (prefill_tokens <= kSmallestChunk) return false;
  limit_ = std::max(prefill_tokens / 2, kSmallestChunk);
  return true;
}

void ChunkLimit::grow() { limit_ = std::min(2 * limit_, state_.limits.step_tokens); }

}  // namespace warpgroup
