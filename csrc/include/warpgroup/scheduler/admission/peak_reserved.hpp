#pragma once

#include <cstdint>

#include "warpgroup/scheduler/admission/admission_test.hpp"

namespace warpgroup {

// Admits a request if its peak fits beside the reserved peaks of all running requests. The policy's
// `promise` says what the peak is: max_new_tokens, the longest sequence, or a prediction. A request
// that outgrows a predicted peak gets a larger one.
class PeakReservedAdmission : public AdmissionTest {
 public:
  using AdmissionTest::AdmissionTest;
  void admit(Sequence& sequence) override;
  void outgrew(Sequence& sequence) override;

 protected:
  bool fits_beside_running(const Sequence& sequence, std::int64_t blocks) override;
};

// The blocks of a sequence's peak, as the policy promises it; at most the whole pool.
std::int64_t promised_blocks(const SchedulerState& state, const Sequence& sequence);

}  // namespace warpgroup
