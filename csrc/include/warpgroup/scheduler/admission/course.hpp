#pragma once

#include <cstdint>

#include "warpgroup/scheduler/predictor.hpp"

namespace warpgroup {

// What a request holds from the next step on: `tokens` in that step and one more in each later
// one. A prefill counts as if it were complete at once, which errs on the safe side.
struct Course {
  std::int64_t tokens;
  std::int64_t generated;
  std::int64_t max_new_tokens;
  std::int64_t last;  // predicted last step, counted from the next one as 0 (FuturePeak only)
  const LengthWindow* lengths = nullptr;  // its output length is like these (Skyline only)
};

// Blocks for a number of tokens. Forecasts divide all the time, and block sizes are nearly always
// powers of two.
class BlocksFor {
 public:
  explicit BlocksFor(std::int64_t block_tokens)
      : block_(static_cast<std::uint64_t>(block_tokens)),
        shift_((block_ & (block_ - 1)) == 0 ? __builtin_ctzll(block_) : -1) {}
  std::int64_t operator()(std::int64_t tokens) const {
    const std::uint64_t up = static_cast<std::uint64_t>(tokens) + block_ - 1;
    return static_cast<std::int64_t>(shift_ >= 0 ? up >> shift_ : up / block_);
  }

 private:
  std::uint64_t block_;
  int shift_;  // the block's binary logarithm; -1 if it is no power of two
};

}  // namespace warpgroup
