#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "warpgroup/memory/memory.hpp"
#include "warpgroup/scheduler/forecast.hpp"
#include "warpgroup/scheduler/plan.hpp"
#include "warpgroup/scheduler/policy.hpp"
#include "warpgroup/scheduler/predictor.hpp"
#include "warpgroup/scheduler/request.hpp"
#include "warpgroup/scheduler/waiting_queue.hpp"

namespace warpgroup {

struct EngineLimits {
  std::int64_t max_seqs;              // requests that may run at once
  std::int64_t step_tokens;           // tokens that one step may compute (not in padded batches)
  std::int64_t max_model_tokens = 0;  // longest sequence accepted; 0: each request's own limit
  std::int64_t max_wait_ns = 0;       // a request that would wait longer is rejected; 0: never
  std::int64_t swap_bytes_s = 0;      // copy rate to host memory; 0: there is no swapping
  std::int64_t prefill_tokens_s = 0;  // rate at which a lost cache is computed again
};

struct Submission {
  bool accepted;
  std::string reason;             // why not; empty if accepted
  std::int64_t expected_wait_ns;  // at the rate at which the queue moved lately
  bool pressed;  // back-pressure: it would wait for more than half of what is allowed
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

  // Queues a request, or rejects one that can never fit or would wait too long. Throws
  // std::invalid_argument for a duplicate id, lengths below 1, or an output length that is missing
  // under a policy that sees them.
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

  // The budget changes, since somebody else takes or returns memory. What no longer fits is evicted
  // by the next plan. Throws as MemoryModel does; std::logic_error while a plan is outstanding.
  void set_budget(std::int64_t budget_bytes);

  // A running hash over all changes (admitted, prefilled, evicted, failed, finished, memory) and
  // the steps at which they happened; it does not depend on how steps are grouped into plans.
  std::uint64_t plan_hash() const { return hash_; }
  std::int64_t waiting() const { return static_cast<std::int64_t>(waiting_.size()); }
  std::int64_t running() const { return static_cast<std::int64_t>(running_.size()); }
  std::int64_t used_blocks() const { return used_blocks_; }
  std::int64_t reserved_blocks() const { return reserved_blocks_; }
  std::int64_t host_bytes() const { return host_bytes_; }
  const MemoryModel& memory() const { return memory_; }
  const Policy& policy() const { return policy_; }

 private:
  using Rows = bool (*)(const Sequence&);

  // continuous.cpp
  void plan_continuous();
  bool serve(Rows rows, std::int64_t& token_budget);
  std::int64_t allot(Rows rows, std::int64_t& token_budget);
  bool make_room(std::int64_t needed, std::int64_t& token_budget);
  void schedule(Sequence& sequence);
  bool hold(Sequence& sequence, std::int64_t tokens);
  std::int64_t free_blocks() const;
  std::int64_t continuous_horizon() const;
  void advance_continuous(std::int64_t steps);
  void oom_continuous();
  std::int64_t step_budget() const;
  std::int64_t prefill_limit() const;

  // admission.cpp
  void admit_waiting(std::int64_t& token_budget);
  void admit_bins(std::int64_t& token_budget);
  void form_bins();
  void admit_from_bin(std::int64_t& token_budget);
  void close_bin();
  BlockedBy admit_in_turn(std::int64_t& token_budget);
  BlockedBy admit_out_of_turn(std::int64_t& token_budget);
  BlockedBy obstacle(const Sequence& sequence, std::int64_t token_budget);
  bool fits(const Sequence& sequence);
  bool aged(const Sequence& sequence) const;
  void admit(Sequence& sequence, std::int64_t& token_budget);
  void take_stock();
  bool fail_what_never_fits();
  std::int64_t promised_blocks(const Sequence& sequence) const;
  Course course_of(Sequence& sequence);
  Course course_if_admitted(const Sequence& sequence) const;
  std::int64_t predicted_output(const Sequence& sequence) const;
  std::int64_t ratio_needs(const Sequence& sequence) const;

  // eviction.cpp
  Sequence& choose_victim(std::int64_t missing_blocks);
  Sequence& cheapest_that_frees(std::int64_t blocks);
  Evicted evict(Sequence& sequence);
  bool swaps(const Sequence& sequence) const;
  std::int64_t restore_ns(const Sequence& sequence) const;
  void give_up_host_memory(Sequence& sequence);
  void raise_token_ratio();

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
  bool is_static() const { return policy_.is_padded(); }
  std::int64_t cap() const;
  std::string why_never_fits(const Request& request) const;
  std::int64_t expected_wait(std::int64_t now_ns) const;
  void note_queue_before(std::int64_t now_ns);
  std::int64_t blocks_for(std::int64_t tokens) const {
    return ceil_div(tokens, memory_.block_tokens());
  }
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
  mutable LengthPredictor predictor_;  // brings its tables up to date when they are read

  std::unordered_map<std::int64_t, Sequence> sequences_;
  WaitingQueue waiting_;
  std::vector<Sequence*> running_;  // in order of admission: the newest is last

  std::int64_t pool_blocks_;
  std::int64_t used_blocks_ = 0;
  std::int64_t reserved_blocks_ = 0;
  std::int64_t host_bytes_ = 0;      // of evicted caches
  std::int64_t filled_tokens_ = 0;   // tokens cached by all that run
  std::int64_t chunk_limit_;         // tokens of prefill in a step; smaller after running out
  std::int64_t prefill_budget_ = 0;  // what is left of it in the plan that is being made
  std::int64_t token_ratio_ppm_;
  bool admission_may_change_ = true;  // since the last attempt that memory stopped
  bool batch_is_formed_ = false;      // with a barrier: nobody joins those that run
  bool closed_until_freed_ = false;   // after running out of memory: until some is given back

  bool stock_taken_ = false;  // whether the forecasts below are of the plan that is being made
  FuturePeak future_;
  Skyline skyline_;
  std::deque<std::vector<std::int64_t>> bins_;  // ids, of those bins that have not run yet
  bool bin_is_open_ = false;  // the first of them is running, and not all of it is admitted

  std::int64_t batch_length_ = 0;     // padded prompt length of the static batch
  std::int64_t batch_decoded_ = 0;    // decode steps that it has behind it
  std::int64_t next_batch_rows_ = 0;  // after a split: size of the next batch, formed at once

  // How fast the queue moves: the time that passed while somebody waited, at the last admissions.
  std::int64_t queued_clock_ns_ = 0;
  std::int64_t last_plan_ns_ = 0;
  bool somebody_waited_ = false;
  std::deque<std::int64_t> admission_clock_;

  StepPlan plan_;
  bool outstanding_ = false;
  std::vector<Evicted> evicted_by_oom_;
  std::vector<Failed> failed_by_oom_;
  std::vector<Degradation> degraded_by_oom_;
  std::int64_t swapped_by_oom_ = 0;
  std::vector<std::int64_t> aborts_;
  std::int64_t step_ = 0;
  std::int64_t submitted_ = 0;
  std::uint64_t hash_ = 0;
};

}  // namespace warpgroup
