#pragma once

#include <cstdint>
#include <queue>
#include <vector>

#include "warpgroup/scheduler/scheduler.hpp"
#include "warpgroup/simulation/arrival_queue.hpp"
#include "warpgroup/simulation/recorder.hpp"
#include "warpgroup/simulation/step_time.hpp"

namespace warpgroup {

// The requests of a run, by row; only executors know true output lengths.
struct SimulatedTrace {
  ArrivalQueue arrivals;
  std::vector<std::int64_t> prompt_tokens;
  std::vector<std::int64_t> output_tokens;
  std::int64_t max_new_tokens;
};

// Which requests make their last token when. Ends are kept on a clock that counts steps in which
// requests decode, so that a step which only prefills delays all of them at no cost.
class Endings {
 public:
  explicit Endings(std::vector<std::int64_t> output_tokens);

  void evicted(std::int64_t request);  // or failed: its end is unknown
  // How many steps until somebody who takes part in the plan ends, at most its horizon. Call once
  // for each plan that runs, before passed().
  std::int64_t steps_until_next(const StepPlan& plan);
  // Those who made their last token in the last of `steps` steps of the plan, by id.
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
  void delay_those_who_pause(const StepPlan& plan);
  void count(std::int64_t request, std::int64_t generated);

  std::vector<std::int64_t> output_tokens_;
  std::vector<std::int32_t> life_;  // an eviction ends a life: what was expected of it is void
  std::vector<bool> decodes_;
  std::int64_t decoding_ = 0;  // how many do
  std::int64_t clock_ = 0;
  std::priority_queue<End, std::vector<End>, std::greater<End>> ends_;
};

// Runs the scheduler's plans and lets their predicted durations pass.
class SimulatedEngine {
 public:
  // All references must outlive the engine. `macro_steps` off: every step is planned by itself; the
  // run is the same. `stop_on_oom`: the run is over at the first step that is out of memory.
  SimulatedEngine(SimulatedTrace trace, Scheduler& scheduler, const StepTime& step_time,
                  Recorder& recorder, bool macro_steps, bool stop_on_oom, bool plan_ahead);

  // Runs until the first plan at or after `until_ns` (negative: no limit), until `plans` plans were
  // made, or until the end.
  void advance(std::int64_t until_ns, std::int64_t plans);

  // What another executor recorded, in its order, in place of what is predicted: the same
  // submissions, the same budgets, plans at the same times, the same outcomes.
  //
  // A submission, which the plan of that time was the first to see.
  void submit(std::int64_t request, std::int64_t now_ns);
  struct RecordedStep {
    std::int64_t plan_ns, start_ns, end_ns;
    std::int64_t needed_bytes;  // if it ran out of memory; else 0
  };
  // False, and nothing was committed, if the plan has no step. The core throws what it throws for
  // an outcome that contradicts its plan.
  bool follow(const RecordedStep& step);
  // The scheduler was told of a budget.
  void follow_budget(std::int64_t now_ns, std::int64_t budget_bytes);
  // After the last one: the plan that ends the run.
  void follow_end();

  // What the device really has changes. The scheduler learns of it now if `announced`; if not, by
  // running out of memory.
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
  // Each step is planned when the one before it begins: requests that come later miss it.
  bool plan_ahead_;
  std::int64_t submitted_ = 0;
  Femtoseconds clock_fs_ = 0;
  Femtoseconds planned_fs_ = 0;  // when the next plan is made: now, or when the last step began
  bool done_ = false;
};

}  // namespace warpgroup
