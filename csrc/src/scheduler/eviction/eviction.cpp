#include "warpgroup/scheduler/eviction/eviction.hpp"

#include <algorithm>

namespace warpgroup {

namespace {

std::int64_t cache_bytes(const SchedulerState& state, const Sequence& sequence) {
  return state.blocks_for(sequence.cached) * state.memory.block_bytes();
}

// Whether the cache fits into host memory, and two copies over the host link take less time than
// computing it again.
bool swaps(const SchedulerState& state, const Sequence& sequence) {
  const std::int64_t link = state.limits.swap_bytes_s;
  if (state.policy.swap_bytes == 0 || link == 0 || sequence.cached == 0) return false;
  const std::int64_t bytes = cache_bytes(state, sequence);
  if (state.host_bytes + bytes > state.policy.swap_bytes) return false;
  // 2 bytes / link < cached / prefill rate, without rounding.
  return 2.0 * static_cast<double>(bytes) * static_cast<double>(state.limits.prefill_tokens_s) <
         static_cast<double>(sequence.cached) * static_cast<double>(link);
}

}  // namespace

std::int64_t restore_ns(const SchedulerState& state, const Sequence& sequence) {
  constexpr double kSecond = 1e9;
  if (swaps(state, sequence)) {
    const auto bytes = static_cast<double>(sequence.blocks * state.memory.block_bytes());
    return static_cast<std::int64_t>(2 * bytes * kSecond /
                                     static_cast<double>(state.limits.swap_bytes_s));
  }
  const std::int64_t rate = std::max<std::int64_t>(state.limits.prefill_tokens_s, 1);
  return static_cast<std::int64_t>(static_cast<double>(sequence.cached) * kSecond /
                                   static_cast<double>(rate));
}

Evicted evict(SchedulerState& state, Sequence& sequence) {
  Evicted evicted{sequence.request.id, sequence.cached, 0,
                  sequence.blocks * state.memory.block_bytes(), 0};
  if (swaps(state, sequence)) {
    evicted.lost_tokens = 0;
    evicted.swapped_bytes = cache_bytes(state, sequence);
    sequence.on_host = sequence.cached;
    state.host_bytes += evicted.swapped_bytes;
  }
  state.used_blocks -= sequence.blocks;
  state.reserved_blocks -= sequence.reserved;
  state.filled_tokens -= sequence.cached;
  sequence.cached = sequence.blocks = sequence.reserved = sequence.scheduled = 0;
  sequence.prefilled = false;
  sequence.preemptions += 1;
  sequence.queued_ns = state.plan.plan_ns;
  state.waiting.push_front(&sequence);
  return evicted;
}

}  // namespace warpgroup
