#pragma once

#include <cstdint>
#include <queue>
#include <vector>

#include "warpgroup/scheduler/scheduler.hpp"
#include "warpgroup/simulation/arrival_queue.hpp"
#include "warpgroup/simulation/recorder.hpp"
#include "warpgroup/simulation/step_time.hpp"

namespace warpgroup {

// The requests of a run, by row. Only executors know true output lengths.
struct SimulatedTrace {
  ArrivalQueue arrivals;
  std::vector<std::int64_t> prompt_tokens;
  std::vector<std::int64_t> output_tokens;
  std::int64_t max_new_tokens;
};

// When each request generates its last token. Ends are times of a clock that counts only steps in
// which requests decode, so that a step that only prefills delays all ends at no cost.
class Endings {
 public:
  explicit Endings(std::vector<std::int64_t> output_tokens);

  void evicted(std::int64_t request);  // evicted or failed: its end is unknown
  // The number of steps until a request of the plan ends, at most the plan's horizon. Call once for
  // each plan that runs, before passed().
  std::int64_t steps_until_next(const StepPlan& plan);
  // The requests, by id, that generate their last token in the last of `steps` steps of the plan.
  std::vector<std::int64_t> passed(const StepPlan& plan, std::int64_t steps);

 private:
  struct End {
    std::int64_t at;
    std::int64_t request;
    std::int32_t life;
    bool operator>(const End& other) const {
      return at != other.at ? at > other.at : request > other.request;
    }
  };
  bool is_void(const End& end) const;
  void delay_paused_requests(const StepPlan& plan);
  void count(std::int64_t request, std::int64_t generated);

  std::vector<std::int64_t> output_tokens_;
  std::vector<std::int32_t> life_;  // counts evictions: an End of an earlier life is void
  std::vector<bool> decodes_;
  std::int64_t decoding_ = 0;  // number of requests that decode
  std::int64_t clock_ = 0;
  std::priority_queue<End, std::vector<End>, std::greater<End>> ends_;
};

// Runs the scheduler's plans in simulated time: each plan takes its predicted duration.
class SimulatedEngine {
 public:
  // All references must outlive the engine. Without `macro_steps` each step is planned by itself,
  // with the same results. With `stop_on_oom` the run ends at the first step that runs out of
  // memory.
  SimulatedEngine(SimulatedTrace trace, Scheduler& scheduler, const StepTime& step_time,
                  Recorder& recorder, bool macro_steps, bool stop_on_oom, bool plan_ahead);

  // Runs until the first plan at or after `until_ns` (negative: no limit), until `plans` plans are
  // made, or to the end.
  void advance(std::int64_t until_ns, std::int64_t plans);

  // The following calls repeat the record of another executor in its order, with recorded
  // submissions, budgets, plan times and outcomes in place of predicted ones.
  //
  // A submission; the plan at `now_ns` is the first to see it.
  void submit(std::int64_t request, std::int64_t now_ns);
  struct RecordedStep {
    std::int64_t plan_ns, start_ns, end_ns;
    std::int64_t needed_bytes;  // of a step that ran out of memory; else 0
  };
  // Returns false, and commits nothing, if the plan has no step. Throws the core's exceptions for
  // an outcome that contradicts its plan.
  bool follow(const RecordedStep& step);
  // A budget that the scheduler got.
  void follow_budget(std::int64_t now_ns, std::int64_t budget_bytes);
  // After the last step: the plan that ends the run.
  void follow_end();

  // Changes the memory that the device really has. The scheduler learns of it now if `announced`,
  // else by running out of memory.
  void set_budget(std::int64_t budget_bytes, bool announced);

  bool done() const { return done_; }
  std::int64_t now_ns() const { return static_cast<std::int64_t>(clock_fs_ / kFsPerNs); }

 private:
  void submit_arrived();
  const StepPlan& plan_at(std::int64_t now_ns);
  void run_one_plan(std::int64_t until_ns);
  void run_out_of_memory(const StepPlan& plan);
  void run_steps(const StepPlan& plan, std::int64_t until_ns);
  std::int64_t next_event_ns(const StepPlan& plan, std::int64_t until_ns) const;
  std::int64_t steps_until_seen(const StepPlan& plan, std::int64_t steps,
                                std::int64_t until_ns) const;
  std::int64_t steps_before(const StepPlan& plan, std::int64_t steps, std::int64_t until_ns) const;

  SimulatedTrace trace_;
  Scheduler& scheduler_;
  const StepTime& step_time_;
  Recorder& recorder_;
  Endings endings_;
  bool macro_steps_;
  bool stop_on_oom_;
  // Each step is planned when the step before it begins. Later arrivals miss it.
  bool plan_ahead_;
  std::int64_t submitted_ = 0;
  Femtoseconds clock_fs_ = 0;
  Femtoseconds planned_fs_ = 0;  // time of the next plan: now, or the begin of the last step
  bool done_ = false;
};

}  // namespace warpgroup
