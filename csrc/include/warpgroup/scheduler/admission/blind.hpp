#pragma once

#include "warpgroup/scheduler/admission/admission_test.hpp"

namespace warpgroup {

// Admits every request: memory is ignored, and a step may run out of it.
class BlindAdmission : public AdmissionTest {
 public:
  using AdmissionTest::AdmissionTest;
  bool fits(const Sequence&) override { return true; }

 protected:
  bool fits_beside_running(const Sequence&, std::int64_t) override { return true; }
};

}  // namespace warpgroup
