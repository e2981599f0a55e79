#pragma once

#include <cstdint>

#include "warpgroup/plan.hpp"

namespace warpgroup {

// 64 bits hold two hours and a half of femtoseconds; runs are longer.
__extension__ typedef __int128 Femtoseconds;
constexpr std::int64_t kFsPerNs = 1'000'000;

// Predicts how long steps take.
class StepTime {
 public:
  virtual ~StepTime() = default;
  // Duration of `steps` steps together, the first one doing `work` and each later one with one more
  // token in every decoding request's cache. The duration of step j is F(j + 1) - F(j), so that
  // macro-steps and single steps are the same run.
  virtual Femtoseconds cumulative(const StepWork& work, std::int64_t steps) const = 0;
};

// What each part of a step costs, in femtoseconds.
struct RooflineRates {
  std::int64_t weights_fs;   // one pass over the weights
  std::int64_t token_fs;     // matrix products of a token
  std::int64_t sample_fs;    // the output head for a row
  std::int64_t pair_fs;      // prefill attention, a query-key pair
  std::int64_t context_fs;   // reading a token's keys and values
  std::int64_t swap_fs;      // copying a byte to or from the host
  std::int64_t overhead_fs;  // launches and host work
};

// max(weights, products) + attention + KV read + copies + overhead; see sim/step_time.py.
class RooflineStepTime : public StepTime {
 public:
  explicit RooflineStepTime(RooflineRates rates) : rates_(rates) {}
  Femtoseconds cumulative(const StepWork& work, std::int64_t steps) const override;

 private:
  RooflineRates rates_;
};

}  // namespace warpgroup
