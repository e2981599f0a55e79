#include "warpgroup/scheduler/state.hpp"

#include <utility>

namespace warpgroup {

namespace {

// In arrival order only the first request in the queue is looked at, unless others may overtake it
// or the whole queue is packed.
std::int64_t window_of(const Policy& policy) {
  const bool one_by_one = policy.order == Order::kArrival && !policy.overtake;
  return one_by_one && policy.batching != Batching::kBins ? 1 : policy.window;
}

}  // namespace

SchedulerState::SchedulerState(Policy policy_, MemoryModel memory_, EngineLimits limits_)
    : policy(std::move(policy_)),
      memory(std::move(memory_)),
      limits(limits_),
      waiting(policy.order, window_of(policy)),
      pool_blocks(memory.pool_blocks()) {}

void SchedulerState::release(Sequence& sequence) {
  used_blocks -= sequence.blocks;
  reserved_blocks -= sequence.reserved;
  filled_tokens -= sequence.cached;
  release_host_memory(sequence);
  sequences.erase(sequence.request.id);
}

void SchedulerState::fail(Sequence& sequence, std::int64_t needed_bytes, bool alone_in_step) {
  auto& failed = alone_in_step ? oom_effects.failed : plan.failed;
  failed.push_back({sequence.request.id, needed_bytes, alone_in_step});
  release(sequence);
}

void SchedulerState::release_host_memory(Sequence& sequence) {
  host_bytes -= blocks_for(sequence.on_host) * memory.block_bytes();
  sequence.on_host = 0;
}

}  // namespace warpgroup
