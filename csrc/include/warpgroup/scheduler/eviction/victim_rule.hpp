#pragma once

#include <cstdint>
#include <memory>

#include "warpgroup/scheduler/admission/admission_test.hpp"
#include "warpgroup/scheduler/state.hpp"

namespace warpgroup {

// Chooses the request that is evicted when memory runs out: the part of a policy that `Victim`
// names.
class VictimRule {
 public:
  virtual ~VictimRule() = default;

  // At least two requests run. missing_blocks: how many more blocks must be free.
  virtual Sequence& choose(std::int64_t missing_blocks) = 0;
  // Whether an eviction stops admission until a request gives memory back.
  virtual bool stops_admission() const { return false; }
};

// The rule that `state.policy` names. SchedulerState and test must outlive it.
std::unique_ptr<VictimRule> make_victim_rule(SchedulerState& state, AdmissionTest& test);

}  // namespace warpgroup
