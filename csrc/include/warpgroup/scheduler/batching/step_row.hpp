// A request's part of a step: its blocks, and its row in the plan.

#pragma once

#include <algorithm>
#include <cstdint>

#include "warpgroup/scheduler/admission/admission_test.hpp"
#include "warpgroup/scheduler/state.hpp"

namespace warpgroup {

// Takes the blocks of the sequence's first `tokens` tokens. Under a policy that sees memory they
// are free: it has checked that, or has evicted other requests.
inline void hold_blocks(SchedulerState& state, AdmissionTest& test, Sequence& sequence,
                        std::int64_t tokens) {
  const std::int64_t needed = state.blocks_for(tokens);
  if (needed <= sequence.blocks) return;
  state.used_blocks += needed - sequence.blocks;
  sequence.blocks = needed;
  if (needed > sequence.reserved) test.outgrew(sequence);
}

// Adds the tokens that are scheduled for the sequence to the plan.
void add_row(StepPlan& plan, const Sequence& sequence);

}  // namespace warpgroup
