#include "warpgroup/scheduler/batching/queue_admitter.hpp"

namespace warpgroup {

void QueueAdmitter::admit_waiting(StepBudget& budget) {
  if (state_.running.empty()) batch_is_complete_ = false;
  if (state_.waiting.empty()) {
    batch_is_complete_ = true;
    return;
  }
  BlockedBy& blocked_by = state_.plan.blocked_by;
  if (state_.policy.barrier && batch_is_complete_) {
    blocked_by = BlockedBy::kCount;
    return;
  }
  if (gate_.refused_for_memory()) {
    blocked_by = BlockedBy::kMemory;
    return;
  }
  do {
    test_.begin_attempt();
    blocked_by = admit_aged(budget);
    if (blocked_by == BlockedBy::kNone) blocked_by = admit_in_order(budget);
  } while (blocked_by == BlockedBy::kMemory && state_.running.empty() && fail_what_never_fits());
  // Requests that only the step's tokens kept out still belong to this batch.
  batch_is_complete_ = blocked_by != BlockedBy::kTokens;
  gate_.note_attempt(blocked_by);
}

// Aged and evicted requests go first; no other request may overtake them.
BlockedBy QueueAdmitter::admit_aged(StepBudget& budget) {
  while (!state_.waiting.empty() && aged(*state_.waiting.front())) {
    Sequence& first = *state_.waiting.front();
    const BlockedBy why = obstacle(first, budget);
    if (why != BlockedBy::kNone) return why;
    admit(first, budget);
  }
  return BlockedBy::kNone;
}

BlockedBy QueueAdmitter::admit_in_order(StepBudget& budget) {
  const bool overtake = state_.policy.overtake;
  BlockedBy blocked_by = BlockedBy::kNone;
  const auto& candidates = state_.waiting.candidates();
  auto next = candidates.begin();
  while (next != candidates.end()) {
    Sequence& candidate = **next++;
    const BlockedBy why = obstacle(candidate, budget);
    if (why == BlockedBy::kNone) {
      admit(candidate, budget);
      if (!overtake) next = candidates.begin();
      continue;
    }
    blocked_by = why;
    // Any other obstacle would stop all other requests too.
    if (why != BlockedBy::kMemory || !overtake) break;
  }
  return blocked_by;
}

bool QueueAdmitter::aged(const Sequence& sequence) const {
  const std::int64_t age_ns = state_.policy.age_ns;
  return sequence.preemptions > 0 ||
         (age_ns != Policy::kNever && state_.plan.plan_ns - sequence.queued_ns >= age_ns);
}

}  // namespace warpgroup
