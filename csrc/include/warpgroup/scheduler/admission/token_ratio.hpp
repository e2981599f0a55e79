#pragma once

#include <cstdint>

#include "warpgroup/scheduler/admission/admission_test.hpp"

namespace warpgroup {

// SGLang's new_token_ratio. Admits a request if its prompt and what it may generate fit beside a
// share (the ratio) of what the running requests may still generate. The ratio decays while they
// decode, and is estimated again when memory runs out.
class TokenRatioAdmission : public AdmissionTest {
 public:
  explicit TokenRatioAdmission(SchedulerState& state)
      : AdmissionTest(state), ratio_ppm_(state.policy.ratio_ppm) {}

  void advance(std::int64_t steps) override;
  void note_shortage() override;
  bool may_have_changed() const override { return true; }
  std::int64_t steps_until_change() const override { return 1; }

 protected:
  bool fits_beside_running(const Sequence& sequence, std::int64_t blocks) override;

 private:
  std::int64_t needed_tokens(const Sequence& sequence) const;

  std::int64_t ratio_ppm_;
};

}  // namespace warpgroup
