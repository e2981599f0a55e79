#pragma once

#include "warpgroup/scheduler/admission/admission_test.hpp"

namespace warpgroup {

// Admits a request if its whole prompt (and what it generated before an eviction) fits into the
// blocks that are free now, above the watermark. No memory is kept for outputs.
class PromptFitsAdmission : public AdmissionTest {
 public:
  using AdmissionTest::AdmissionTest;

 protected:
  bool fits_beside_running(const Sequence&, std::int64_t blocks) override {
    return blocks + watermark_blocks() <= state_.free_blocks();
  }
};

}  // namespace warpgroup
