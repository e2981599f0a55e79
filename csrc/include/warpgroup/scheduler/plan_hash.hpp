#pragma once

#include <cstdint>

#include "warpgroup/scheduler/plan.hpp"

namespace warpgroup {

// A running hash over all changes (admitted, prefilled, evicted, failed, finished, memory) and the
// steps at which they happened. It does not depend on how steps are grouped into plans.
class PlanHash {
 public:
  void add(const StepPlan& plan);
  // step: the index of the step after the one that made the last token.
  void add_finished(std::int64_t step, std::int64_t id, std::int64_t generated);
  void add_used_blocks(std::int64_t step, std::int64_t blocks);

  std::uint64_t value() const { return hash_; }

 private:
  enum class Change : std::uint64_t;
  void mix(std::int64_t step, Change change, std::int64_t id, std::int64_t value);

  std::uint64_t hash_ = 0;
};

}  // namespace warpgroup
