#include "warpgroup/scheduler/admission/peak_reserved.hpp"

#include <algorithm>

namespace warpgroup {

namespace {

std::int64_t promised_tokens(const SchedulerState& state, const Sequence& sequence) {
  const Request& request = sequence.request;
  // The last token made is never attended to, so its keys and values are never held.
  const std::int64_t most = request.prompt_tokens + request.max_new_tokens - 1;
  switch (state.policy.promise) {
    case Promise::kMaxNew:
      return most;
    case Promise::kLongest:
      return std::max(most, state.limits.max_model_tokens);
    case Promise::kPredicted:
      return request.prompt_tokens + state.predicted_output(sequence) - 1;
  }
  return most;
}

}  // namespace

bool PeakReservedAdmission::fits_beside_running(const Sequence& sequence, std::int64_t) {
  return promised_blocks(state_, sequence) <= state_.pool_blocks - state_.reserved_blocks;
}

void PeakReservedAdmission::admit(Sequence& sequence) {
  sequence.reserved = promised_blocks(state_, sequence);
  state_.reserved_blocks += sequence.reserved;
}

void PeakReservedAdmission::outgrew(Sequence& sequence) {
  const std::int64_t before = sequence.reserved;
  sequence.reserved = std::max(sequence.blocks, promised_blocks(state_, sequence));
  state_.reserved_blocks += sequence.reserved - before;
}

std::int64_t promised_blocks(const SchedulerState& state, const Sequence& sequence) {
  return std::min(state.blocks_for(promised_tokens(state, sequence)), state.pool_blocks);
}

}  // namespace warpgroup
