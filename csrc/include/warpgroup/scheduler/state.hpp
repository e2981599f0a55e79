#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "warpgroup/memory/memory.hpp"
#include "warpgroup/scheduler/engine_limits.hpp"
#include "warpgroup/scheduler/plan.hpp"
#include "warpgroup/scheduler/policy.hpp"
#include "warpgroup/scheduler/predictor.hpp"
#include "warpgroup/scheduler/request.hpp"
#include "warpgroup/scheduler/wait_estimate.hpp"
#include "warpgroup/scheduler/waiting_queue.hpp"

namespace warpgroup {

// What a step that ran out of memory caused. The next plan reports it.
struct OomEffects {
  std::vector<Evicted> evicted;
  std::vector<Failed> failed;
  std::vector<Degradation> degraded;
  std::int64_t swap_bytes = 0;
};

// What the parts of a scheduler share: the requests, the memory that they hold, and the plan that
// is being made. Everything else belongs to one part alone.
struct SchedulerState {
  SchedulerState(Policy policy_, MemoryModel memory_, EngineLimits limits_);
  SchedulerState(const SchedulerState&) = delete;  // its lists point to its sequences
  SchedulerState& operator=(const SchedulerState&) = delete;

  Policy policy;
  MemoryModel memory;
  EngineLimits limits;
  LengthPredictor predictor;
  WaitEstimate wait_estimate;

  std::unordered_map<std::int64_t, Sequence> sequences;
  WaitingQueue waiting;
  std::vector<Sequence*> running;  // in order of admission: the newest is last

  std::int64_t pool_blocks;
  std::int64_t used_blocks = 0;
  std::int64_t reserved_blocks = 0;
  std::int64_t host_bytes = 0;     // of evicted caches
  std::int64_t filled_tokens = 0;  // tokens cached by all running requests

  StepPlan plan;
  OomEffects oom_effects;
  std::int64_t step = 0;  // index of the next step to run

  std::int64_t blocks_for(std::int64_t tokens) const {
    return ceil_div(tokens, memory.block_tokens());
  }
  std::int64_t free_blocks() const { return pool_blocks - used_blocks; }
  std::int64_t running_count() const { return static_cast<std::int64_t>(running.size()); }
  std::int64_t max_running() const {
    return policy.max_requests > 0 ? policy.max_requests : limits.max_seqs;
  }

  // Output tokens that the policy expects of the sequence in all.
  std::int64_t predicted_output(const Sequence& sequence) const {
    if (policy.sees_lengths) return sequence.request.output_tokens;
    return predictor.quantile(sequence.request.max_new_tokens, sequence.generated,
                              policy.overflow_ppm);
  }

  // Forgets a sequence that neither waits nor runs any more, and frees what it holds.
  void release(Sequence& sequence);
  // The same for one that cannot go on, and reports it: by the present plan, or by the next one
  // if it ran out of memory alone in a step.
  void fail(Sequence& sequence, std::int64_t needed_bytes, bool alone_in_step);
  // Frees the host memory of a swapped cache.
  void release_host_memory(Sequence& sequence);
};

}  // namespace warpgroup
