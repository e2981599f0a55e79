#pragma once

#include <cstdint>

namespace warpgroup {

// The tokens that a step may still compute, while its plan is made.
struct StepBudget {
  std::int64_t tokens;   // of prefills and decodes
  std::int64_t prefill;  // of prefills alone

  bool is_spent() const { return tokens <= 0 || prefill <= 0; }
};

}  // namespace warpgroup
