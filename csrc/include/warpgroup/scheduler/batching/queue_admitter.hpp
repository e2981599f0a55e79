#pragma once

#include "warpgroup/scheduler/batching/admitter.hpp"

namespace warpgroup {

// Admits requests one by one in the policy's order, until one does not fit; with overtaking, all
// that fit.
class QueueAdmitter : public Admitter {
 public:
  using Admitter::Admitter;
  void admit_waiting(StepBudget& budget) override;

 private:
  BlockedBy admit_aged(StepBudget& budget);
  BlockedBy admit_in_order(StepBudget& budget);
  bool aged(const Sequence& sequence) const;

  bool batch_is_complete_ = false;  // with a barrier: no request joins those that run
};

}  // namespace warpgroup
