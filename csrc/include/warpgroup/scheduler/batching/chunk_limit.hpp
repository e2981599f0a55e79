#pragma once

#include <cstdint>

#include "warpgroup/scheduler/state.hpp"

namespace warpgroup {

// How many prompt tokens a step may prefill. A step that runs out of memory halves it; requests
// that end let it grow again.
class ChunkLimit {
 public:
  explicit ChunkLimit(const SchedulerState& state)
      : state_(state), limit_(state.limits.step_tokens) {}

  // Small chunks let the running requests make more tokens in the time that a prefill takes, and so
  // give their memory back sooner: worth the overhead of more steps while memory is short.
  std::int64_t now() const;
  // After a step of so many prefill tokens ran out of memory; false if it cannot be halved.
  bool halve(std::int64_t prefill_tokens);
  void grow();

 private:
  const SchedulerState& state_;
  std::int64_t limit_;
};

}  // namespace warpgroup
