#include "warpgroup/scheduler/admission/admission_test.hpp"
#include "warpgroup/scheduler/admission/blind.hpp"
#include "warpgroup/scheduler/admission/future_peak.hpp"
#include "warpgroup/scheduler/admission/peak_reserved.hpp"
#include "warpgroup/scheduler/admission/prompt_fits.hpp"
#include "warpgroup/scheduler/admission/skyline.hpp"
#include "warpgroup/scheduler/admission/token_ratio.hpp"

namespace warpgroup {

std::unique_ptr<AdmissionTest> make_admission_test(SchedulerState& state) {
  switch (state.policy.admission) {
    case Admission::kBlind:
      return std::make_unique<BlindAdmission>(state);
    case Admission::kPromptFits:
      return std::make_unique<PromptFitsAdmission>(state);
    case Admission::kPeakReserved:
      return std::make_unique<PeakReservedAdmission>(state);
    case Admission::kTokenRatio:
      return std::make_unique<TokenRatioAdmission>(state);
    case Admission::kFuturePeak:
      return std::make_unique<FuturePeakAdmission>(state);
    case Admission::kSkyline:
      return std::make_unique<SkylineAdmission>(state);
  }
  return nullptr;
}

}  // namespace warpgroup
