#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "warpgroup/memory/memory.hpp"
#include "warpgroup/scheduler/batching/batcher.hpp"
#include "warpgroup/scheduler/engine_limits.hpp"
#include "warpgroup/scheduler/plan.hpp"
#include "warpgroup/scheduler/plan_hash.hpp"
#include "warpgroup/scheduler/policy.hpp"
#include "warpgroup/scheduler/request.hpp"
#include "warpgroup/scheduler/state.hpp"

namespace warpgroup {

struct Submission {
  bool accepted;
  std::string reason;             // why not; empty if accepted
  std::int64_t expected_wait_ns;  // at the rate at which the queue moved lately
  bool pressed;  // back-pressure: it would wait for more than half of what is allowed
};

// Decides, step by step, which requests prefill, which decode and which are evicted. It knows no
// clock and no device: an executor tells it the time, runs its plans and reports their outcome.
//
//     submit(request) ...   plan(now) -> run it -> commit(steps, finished)   or   commit_oom()
//
// The same calls with the same arguments give the same plans, on every machine.
//
// It keeps the requests; a Batcher decides which of them run.
class Scheduler {
 public:
  // Throws std::invalid_argument if a step could not hold one token for every running request, or
  // if no batcher honours the policy.
  Scheduler(Policy policy, MemoryModel memory, EngineLimits limits);
  Scheduler(const Scheduler&) = delete;  // its parts refer to its state
  Scheduler& operator=(const Scheduler&) = delete;

  // Queues a request, or rejects one that can never fit or would wait too long. Throws
  // std::invalid_argument for a duplicate id, a length or time beyond the limits of `Request`, or
  // an output length that is missing under a policy that sees them.
  Submission submit(const Request& request);

  // What to run next. The reference stays valid until the next call of plan().
  // Throws std::logic_error while an earlier plan waits for its commit.
  const StepPlan& plan(std::int64_t now_ns);

  // Reports that the first `steps` steps of the plan ran, and which requests made their last token
  // in the last of them. All or nothing: throws std::invalid_argument for steps beyond the plan's
  // horizon, an id that made no token in this step, or an id that comes twice; then nothing has
  // changed, and the plan still waits for its commit.
  StepRecord commit(std::int64_t steps, const std::vector<std::int64_t>& finished);

  // Reports that the plan's first step ran out of memory and had no effect. The scheduler splits
  // the batch, evicts a request, or fails a request that ran out of memory alone: the next plan's
  // `evicted` and `failed` say which.
  void commit_oom();

  // Forgets a request and frees what it holds; false if it is not here. While a plan is
  // outstanding this takes effect with its commit, since the device is still using the memory.
  bool abort(std::int64_t id);

  // The budget changes, since another program takes or returns memory. The next plan evicts what no
  // longer fits. Throws as MemoryModel does; std::logic_error while a plan is outstanding.
  void set_budget(std::int64_t budget_bytes);

  std::uint64_t plan_hash() const { return hash_.value(); }
  std::int64_t waiting() const { return static_cast<std::int64_t>(state_.waiting.size()); }
  std::int64_t running() const { return state_.running_count(); }
  std::int64_t used_blocks() const { return state_.used_blocks; }
  std::int64_t reserved_blocks() const { return state_.reserved_blocks; }
  std::int64_t host_bytes() const { return state_.host_bytes; }
  const MemoryModel& memory() const { return state_.memory; }
  const Policy& policy() const { return state_.policy; }

 private:
  void check_finished(const std::vector<std::int64_t>& finished);
  void finish(std::int64_t id);
  void apply_aborts();
  StepRecord record(std::int64_t steps) const;

  SchedulerState state_;
  std::unique_ptr<Batcher> batcher_;
  PlanHash hash_;
  bool outstanding_ = false;          // a plan waits for its commit
  std::vector<std::int64_t> aborts_;  // ids, to be applied with the commit
  std::int64_t submitted_ = 0;
};

}  // namespace warpgroup
