#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "warpgroup/scheduler/admission/admission_test.hpp"
#include "warpgroup/scheduler/batching/admission_gate.hpp"
#include "warpgroup/scheduler/batching/admitter.hpp"
#include "warpgroup/scheduler/batching/batcher.hpp"
#include "warpgroup/scheduler/batching/chunk_limit.hpp"
#include "warpgroup/scheduler/batching/step_budget.hpp"
#include "warpgroup/scheduler/eviction/victim_rule.hpp"

namespace warpgroup {

// Continuous batching: requests join and leave at every step, and prompts are prefilled in chunks.
// Bins run by the same code; only their admission differs.
class ContinuousBatcher : public Batcher {
 public:
  explicit ContinuousBatcher(SchedulerState& state);

  std::string why_never_fits(const Request& request) const override;
  void plan() override;
  bool makes_token(const Sequence& sequence) const override {
    return sequence.scheduled > 0 && sequence.scheduled == sequence.to_compute();
  }
  void advance(std::int64_t steps) override;
  void recover_from_oom() override;
  void finish(Row row) override;
  void abort(Row row) override;
  void queue_changed() override { gate_.note_change(); }
  void budget_changed() override { gate_.note_freed_memory(); }
  HeldMemory held() const override;

 private:
  using Rows = bool (*)(const Sequence&);  // which of the running requests are meant

  bool serve_before_admission(StepBudget& budget);
  bool serve(Rows rows, StepBudget& budget);
  std::int64_t allot(Rows rows, StepBudget& budget);
  bool evict_until_free(std::int64_t needed, StepBudget& budget);
  void fail_last(std::int64_t needed_bytes, bool alone_in_step);
  Evicted evict_running(Sequence& victim);
  void complete_plan(bool all_held);
  void remove(Row row);
  std::int64_t step_tokens() const;

  SchedulerState& state_;
  ChunkLimit chunk_limit_;
  AdmissionGate gate_;
  std::unique_ptr<AdmissionTest> test_;
  std::unique_ptr<VictimRule> victim_rule_;
  std::unique_ptr<Admitter> admitter_;
};

}  // namespace warpgroup
