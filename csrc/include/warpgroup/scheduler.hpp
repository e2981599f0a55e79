#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "warpgroup/memory.hpp"
#include "warpgroup/plan.hpp"
#include "warpgroup/policy.hpp"
#include "warpgroup/predictor.hpp"
#include "warpgroup/request.hpp"
#include "warpgroup/waiting_queue.hpp"

namespace warpgroup {

struct EngineLimits {
  std::int64_t max_seqs;     // requests that may run at once
  std::int64_t step_tokens;  // tokens that one step may compute (continuous batching only)
};

struct Submission {
  bool accepted;
  std::string reason;  // why not; empty if accepted
};

// Decides, step by step, who prefills, who decodes and who is evicted. It knows no clock and no
// device: an executor tells it the time, runs its plans and reports what came of them.
//
//     submit(request) ...   plan(now) -> run it -> commit(steps, finished)   or   commit_oom()
//
// The same calls with the same arguments give the same plans, on every machine.
class Scheduler {
 public:
  // Throws std::invalid_argument if a step could not hold one token for every running request.
  Scheduler(Policy policy, MemoryModel memory, EngineLimits limits);

  // Queues a request, or rejects one that can never fit. Throws std::invalid_argument for a
  // duplicate id or lengths below 1.
  Submission submit(const Request& request);

  // What to run next. The reference stays valid until the next call of plan().
  // Throws std::logic_error while an earlier plan waits for its commit.
  const StepPlan& plan(std::int64_t now_ns);

  // Reports that the first `steps` steps of the plan ran, and who made their last token in the
  // last of them. Throws std::invalid_argument for steps beyond the plan's horizon or an id that
  // made no token.
  StepRecord commit(std::int64_t steps, const std::vector<std::int64_t>& finished);

  // Reports that the plan's first step ran out of memory and had no effect. The core splits the
  // batch, evicts the newest request, or fails one that ran out of memory alone: the next plan's
  // `evicted` and `failed` say which.
  void commit_oom();

  // Forgets a request and frees what it holds; false if it is not here. While a plan is
  // outstanding this takes effect with its commit, since the device is still using the memory.
  bool abort(std::int64_t id);

  // A running hash over all changes (admitted, prefilled, evicted, failed, finished, memory) and
  // the steps at which they happened; it does not depend on how steps are grouped into plans.
  std::uint64_t plan_hash() const { return hash_; }
  std::int64_t waiting() const { return static_cast<std::int64_t>(waiting_.size()); }
  std::int64_t running() const { return static_cast<std::int64_t>(running_.size()); }
  std::int64_t used_blocks() const { return used_blocks_; }
  std::int64_t reserved_blocks() const { return reserved_blocks_; }
  const MemoryModel& memory() const { return memory_; }
  const Policy& policy() const { return policy_; }

 private:
  // continuous.cpp
  void plan_continuous();
  bool schedule_running(std::int64_t& token_budget);
  void admit_by_arrival(std::int64_t& token_budget);
  void admit_longest_first(std::int64_t& token_budget);
  BlockedBy obstacle(const Sequence& sequence, std::int64_t token_budget) const;
  bool fits(const Sequence& sequence) const;
  bool aged(const Sequence& sequence) const;
  void admit(Sequence& sequence, std::int64_t& token_budget);
  void schedule(Sequence& sequence, std::int64_t tokens);
  bool hold(Sequence& sequence, std::int64_t tokens);
  std::int64_t peak_blocks(const Sequence& sequence) const;
  std::int64_t free_blocks() const;
  std::int64_t continuous_horizon() const;
  void advance_continuous(std::int64_t steps);
  Evicted evict(Sequence& sequence);
  void oom_continuous();

  // static_batch.cpp
  void plan_static();
  bool batch_is_due() const;
  void form_batch();
  std::int64_t batch_bytes(std::int64_t decoded) const;
  std::int64_t static_horizon() const;
  void advance_static(std::int64_t steps);
  void end_batch_if_done();
  void oom_static();

  // scheduler.cpp
  bool is_static() const { return policy_.batching == Batching::kStatic; }
  std::int64_t cap() const;
  std::string why_never_fits(const Request& request) const;
  void finish(std::int64_t id);
  void fail(Sequence& sequence, std::int64_t needed_bytes, bool alone_in_step);
  void release(Sequence& sequence);
  void apply_aborts();
  StepRecord record(std::int64_t steps) const;
  void mix_plan();
  void mix(std::uint64_t what, std::int64_t id, std::int64_t value);

  Policy policy_;
  MemoryModel memory_;
  EngineLimits limits_;
  LengthPredictor predictor_;

  std::unordered_map<std::int64_t, Sequence> sequences_;
  WaitingQueue waiting_;
  std::vector<Sequence*> running_;  // in order of admission: the newest is last

  std::int64_t pool_blocks_;
  std::int64_t used_blocks_ = 0;
  std::int64_t reserved_blocks_ = 0;
  bool admission_may_change_ = true;  // since the last attempt that memory stopped
  bool closed_until_finish_ = false;  // after running out of memory: admit less

  std::int64_t batch_length_ = 0;     // padded prompt length of the static batch
  std::int64_t batch_decoded_ = 0;    // decode steps that it has behind it
  std::int64_t next_batch_rows_ = 0;  // after a split: size of the next batch, formed at once

  StepPlan plan_;
  bool outstanding_ = false;
  std::vector<Evicted> evicted_by_oom_;
  std::vector<Failed> failed_by_oom_;
  std::vector<std::int64_t> aborts_;
  std::int64_t step_ = 0;
  std::int64_t submitted_ = 0;
  std::uint64_t hash_ = 0;
};

}  // namespace warpgroup
