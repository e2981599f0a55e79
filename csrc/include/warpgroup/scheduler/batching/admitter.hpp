#pragma once

#include <cstdint>
#include <memory>

#include "warpgroup/scheduler/admission/admission_test.hpp"
#include "warpgroup/scheduler/batching/admission_gate.hpp"
#include "warpgroup/scheduler/batching/step_budget.hpp"
#include "warpgroup/scheduler/state.hpp"

namespace warpgroup {

// Moves waiting requests to the running ones: QueueAdmitter one by one, BinAdmitter in bins.
class Admitter {
 public:
  Admitter(SchedulerState& state, AdmissionTest& test, AdmissionGate& gate)
      : state_(state), test_(test), gate_(gate) {}
  virtual ~Admitter() = default;

  // Admits requests to the plan that is being made, and sets its `blocked_by`.
  virtual void admit_waiting(StepBudget& budget) = 0;

 protected:
  // Why the sequence cannot be admitted now; kNone if it can.
  BlockedBy obstacle(const Sequence& sequence, const StepBudget& budget) {
    if (gate_.closed_until_freed() && !state_.running.empty()) return BlockedBy::kMemory;
    if (state_.running_count() >= state_.max_running()) return BlockedBy::kCount;
    if (budget.is_spent()) return BlockedBy::kTokens;
    return test_.fits(sequence) ? BlockedBy::kNone : BlockedBy::kMemory;
  }
  void admit(Sequence& sequence, StepBudget& budget);
  // Fails waiting requests that are larger than the pool, which may have shrunk since they were
  // accepted. True if there was one.
  bool fail_what_never_fits();

  SchedulerState& state_;
  AdmissionTest& test_;
  AdmissionGate& gate_;

 private:
  void restore(Sequence& sequence);
};

std::unique_ptr<Admitter> make_admitter(SchedulerState& state, AdmissionTest& test,
                                        AdmissionGate& gate);

}  // namespace warpgroup
