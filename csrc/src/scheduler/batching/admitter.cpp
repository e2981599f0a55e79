#include "warpgroup/scheduler/batching/admitter.hpp"

#include <algorithm>
#include <cstddef>

#include "warpgroup/scheduler/batching/bin_admitter.hpp"
#include "warpgroup/scheduler/batching/queue_admitter.hpp"
#include "warpgroup/scheduler/batching/step_row.hpp"

namespace warpgroup {

void Admitter::admit(Sequence& sequence, StepBudget& budget) {
  test_.admit(sequence);
  if (sequence.queued_ns < state_.plan.plan_ns) state_.wait_estimate.note_admission();
  state_.waiting.remove(&sequence);
  state_.running.push_back(&sequence);
  state_.plan.admitted.push_back(sequence.request.id);
  if (sequence.on_host > 0) restore(sequence);
  const std::int64_t tokens = std::min({sequence.to_compute(), budget.tokens, budget.prefill});
  budget.tokens -= tokens;
  budget.prefill -= tokens;
  sequence.scheduled = tokens;
  const std::int64_t promised =
      state_.policy.holds_promise ? sequence.reserved * state_.memory.block_tokens() : 0;
  hold_blocks(state_, test_, sequence, std::max(sequence.cached + tokens, promised));
  add_row(state_.plan, sequence);
}

// The cache comes back from host memory before the step.
void Admitter::restore(Sequence& sequence) {
  const std::int64_t bytes = state_.blocks_for(sequence.on_host) * state_.memory.block_bytes();
  state_.plan.restored.push_back({sequence.request.id, bytes});
  state_.plan.work.swap_bytes += bytes;
  sequence.cached = sequence.on_host;
  state_.filled_tokens += sequence.cached;
  state_.release_host_memory(sequence);
}

bool Admitter::fail_what_never_fits() {
  const std::size_t before = state_.waiting.size();
  for (Sequence* sequence : state_.waiting.all()) {
    const std::int64_t blocks = state_.blocks_for(sequence->tokens());
    if (blocks <= state_.pool_blocks) continue;
    state_.waiting.remove(sequence);
    state_.fail(*sequence, blocks * state_.memory.block_bytes(), /*alone_in_step=*/false);
  }
  return state_.waiting.size() < before;
}

std::unique_ptr<Admitter> make_admitter(SchedulerState& state, AdmissionTest& test,
                                        AdmissionGate& gate) {
  if (state.policy.batching == Batching::kBins) {
    return std::make_unique<BinAdmitter>(state, test, gate);
  }
  return std::make_unique<QueueAdmitter>(state, test, gate);
}

}  // namespace warpgroup
