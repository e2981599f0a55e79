#include "warpgroup/scheduler/batching/horizon.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace warpgroup {

namespace {

// A blind policy may use all that the budget holds beside this step's own activations.
std::int64_t free_blocks(const SchedulerState& state) {
  if (state.policy.sees_memory()) return state.free_blocks();
  return (state.memory.budget_bytes() - state.plan.predicted_bytes) / state.memory.block_bytes();
}

bool holds_for_one_step(const SchedulerState& state) {
  const StepPlan& plan = state.plan;
  return !plan.prefill.empty() || plan.work.decode_rows == 0 || plan.work.swap_bytes > 0 ||
         plan.predicted_bytes > state.memory.budget_bytes();
}

}  // namespace

std::int64_t horizon_of_plan(const SchedulerState& state, std::int64_t limit) {
  if (limit == 1 || holds_for_one_step(state)) return 1;

  const std::int64_t block = state.memory.block_tokens();
  const bool reserves = state.policy.admission == Admission::kPeakReserved;
  // rows_with_space[n]: decoding requests whose blocks can hold n more tokens.
  std::vector<std::int64_t> rows_with_space(static_cast<std::size_t>(block) + 1, 0);
  for (const Sequence* sequence : state.running) {
    if (sequence->scheduled == 0) return 1;  // the step has no tokens for this request
    limit = std::min(limit, sequence->remaining_limit());
    if (reserves) limit = std::min(limit, sequence->reserved * block - sequence->cached);
    const std::int64_t space = sequence->blocks * block - sequence->cached;
    rows_with_space[static_cast<std::size_t>(std::min(space, block))] += 1;
  }

  const std::int64_t free = free_blocks(state);
  const auto blocks_taken_by = [&](std::int64_t steps) {
    std::int64_t blocks = 0;
    for (std::int64_t space = 0; space <= std::min(block, steps - 1); ++space) {
      blocks += rows_with_space[static_cast<std::size_t>(space)] * ceil_div(steps - space, block);
    }
    return blocks;
  };
  std::int64_t enough = 1;  // the first step's blocks are held already
  std::int64_t beyond = limit + 1;
  while (beyond - enough > 1) {
    const std::int64_t middle = enough + (beyond - enough) / 2;
    (blocks_taken_by(middle) <= free ? enough : beyond) = middle;
  }
  return enough;
}

}  // namespace warpgroup
