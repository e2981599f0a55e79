#include "warpgroup/scheduler/batching/continuous_batcher.hpp"

#include <algorithm>

#include "warpgroup/scheduler/batching/horizon.hpp"
#include "warpgroup/scheduler/batching/step_row.hpp"
#include "warpgroup/scheduler/eviction/eviction.hpp"

namespace warpgroup {

namespace {

bool every_row(const Sequence&) { return true; }
bool decoding(const Sequence& sequence) { return sequence.prefilled; }
bool prefilling(const Sequence& sequence) { return !sequence.prefilled; }

}  // namespace

ContinuousBatcher::ContinuousBatcher(SchedulerState& state)
    : state_(state),
      chunk_limit_(state),
      test_(make_admission_test(state)),
      victim_rule_(make_victim_rule(state, *test_)),
      admitter_(make_admitter(state, *test_, gate_)) {}

std::string ContinuousBatcher::why_never_fits(const Request& request) const {
  const std::int64_t blocks = state_.blocks_for(request.prompt_tokens);
  if (blocks <= state_.pool_blocks) return "";
  return "prompt of " + std::to_string(request.prompt_tokens) + " tokens needs " +
         std::to_string(blocks) + " KV blocks, the pool has " + std::to_string(state_.pool_blocks);
}

void ContinuousBatcher::plan() {
  StepBudget budget{step_tokens(), chunk_limit_.now()};
  if (test_->may_have_changed()) gate_.note_change();
  bool all_held = serve_before_admission(budget);
  // A step that had to evict admits no request: it would take what the evicted one needs.
  if (all_held || state_.running.empty()) {
    // The last running request may have failed; then there is more memory than before.
    if (state_.running.empty()) budget.prefill = chunk_limit_.now();
    admitter_->admit_waiting(budget);
  } else if (!state_.waiting.empty()) {
    state_.plan.blocked_by = BlockedBy::kMemory;
  }
  if (state_.policy.mixing == Mixing::kPrefillFirst && state_.plan.prefill.empty()) {
    all_held = serve(decoding, budget) && all_held;
    if (state_.running.empty()) admitter_->admit_waiting(budget);  // the last request failed
  }
  if (!state_.plan.prefill.empty() || !state_.plan.decode.empty()) complete_plan(all_held);
}

bool ContinuousBatcher::serve_before_admission(StepBudget& budget) {
  switch (state_.policy.mixing) {
    case Mixing::kRunningFirst:
      return serve(every_row, budget);
    case Mixing::kDecodeFirst:
      return serve(decoding, budget) && serve(prefilling, budget);
    case Mixing::kPrefillFirst:
      return serve(prefilling, budget);
  }
  return true;
}

void ContinuousBatcher::complete_plan(bool all_held) {
  StepPlan& plan = state_.plan;
  for (const Sequence* sequence : state_.running) {
    plan.paused_rows += sequence->prefilled && sequence->scheduled == 0;
  }
  const MemoryModel& memory = state_.memory;
  plan.kv_bytes = state_.used_blocks * memory.block_bytes();
  plan.predicted_bytes =
      memory.fixed_bytes() + memory.step_bytes(plan.work.shape()) + plan.kv_bytes;
  const std::int64_t limit =
      state_.waiting.empty() ? AdmissionTest::kUnlimited : test_->steps_until_change();
  plan.horizon = all_held ? horizon_of_plan(state_, limit) : 1;
}

std::int64_t ContinuousBatcher::step_tokens() const {
  const std::int64_t engine = state_.limits.step_tokens;
  const std::int64_t policy = state_.policy.step_tokens;
  return policy > 0 ? std::min(policy, engine) : engine;
}

// Gives those running requests their tokens of this step. False if a request was evicted or failed.
bool ContinuousBatcher::serve(Rows rows, StepBudget& budget) {
  const std::int64_t needed = allot(rows, budget);
  const bool all_held = evict_until_free(needed, budget);
  for (Sequence* sequence : state_.running) {
    if (sequence->scheduled == 0 || !rows(*sequence)) continue;
    hold_blocks(state_, *test_, *sequence, sequence->cached + sequence->scheduled);
    add_row(state_.plan, *sequence);
  }
  return all_held;
}

// Divides the step's tokens among the rows. Returns the KV blocks that they need beyond theirs.
std::int64_t ContinuousBatcher::allot(Rows rows, StepBudget& budget) {
  std::int64_t needed = 0;
  for (Sequence* sequence : state_.running) {
    if (!rows(*sequence)) continue;
    std::int64_t tokens = std::min(sequence->to_compute(), budget.tokens);
    if (!sequence->prefilled) {
      tokens = std::min(tokens, budget.prefill);
      budget.prefill -= tokens;
    }
    budget.tokens -= tokens;
    sequence->scheduled = tokens;
    sequence->wanted =
        std::max<std::int64_t>(state_.blocks_for(sequence->cached + tokens) - sequence->blocks, 0);
    needed += sequence->wanted;
  }
  return needed;
}

// Evicts until the needed blocks are free; the last running request fails if it outgrew the pool.
// False if a request was evicted or failed.
bool ContinuousBatcher::evict_until_free(std::int64_t needed, StepBudget& budget) {
  if (!state_.policy.sees_memory()) return true;
  if (needed <= state_.free_blocks() || state_.running.empty()) return true;
  do {
    const bool alone = state_.running.size() == 1;
    Sequence& victim =
        alone ? *state_.running.front() : victim_rule_->choose(needed - state_.free_blocks());
    needed -= victim.scheduled > 0 ? victim.wanted : 0;
    budget.tokens += victim.scheduled;
    if (!victim.prefilled) budget.prefill += victim.scheduled;
    if (alone) {
      const std::int64_t blocks = state_.blocks_for(victim.cached + victim.scheduled);
      fail_last(blocks * state_.memory.block_bytes(), /*alone_in_step=*/false);
    } else {
      state_.plan.evicted.push_back(evict_running(victim));
      state_.plan.work.swap_bytes += state_.plan.evicted.back().swapped_bytes;
    }
  } while (needed > state_.free_blocks() && !state_.running.empty());
  test_->note_shortage();
  if (victim_rule_->stops_admission() && !state_.running.empty()) {
    gate_.close_until_freed();
    state_.plan.degraded.push_back(Degradation::kAdmitLess);
  }
  return false;
}

void ContinuousBatcher::fail_last(std::int64_t needed_bytes, bool alone_in_step) {
  Sequence& alone = *state_.running.front();
  state_.running.clear();
  state_.fail(alone, needed_bytes, alone_in_step);
  gate_.note_change();
}

Evicted ContinuousBatcher::evict_running(Sequence& victim) {
  state_.running.erase(std::find(state_.running.begin(), state_.running.end(), &victim));
  const Evicted evicted = evict(state_, victim);
  test_->note_eviction();
  gate_.note_change();
  return evicted;
}

void ContinuousBatcher::advance(std::int64_t steps) {
  test_->advance(steps);
  for (Sequence* sequence : state_.running) {
    if (sequence->scheduled == 0) continue;
    if (sequence->prefilled) {
      hold_blocks(state_, *test_, *sequence, sequence->cached + steps);
      sequence->cached += steps;
      sequence->generated += steps;
      state_.filled_tokens += steps;
    } else {
      sequence->cached += sequence->scheduled;
      state_.filled_tokens += sequence->scheduled;
      sequence->prefilled = sequence->to_compute() == 0;
      if (sequence->prefilled) sequence->generated += 1;
    }
    sequence->scheduled = 0;
  }
}

// What is given up, in this order: admissions, then the size of prefills, then the cache of a
// request. A blind policy gives up a cache at once.
void ContinuousBatcher::recover_from_oom() {
  OomEffects& effects = state_.oom_effects;
  for (Sequence* sequence : state_.running) sequence->scheduled = 0;
  gate_.note_change();
  gate_.close_until_freed();
  if (state_.policy.sees_memory()) {
    effects.degraded.push_back(Degradation::kAdmitLess);
    if (chunk_limit_.halve(state_.plan.work.prefill_tokens)) {
      effects.degraded.push_back(Degradation::kSmallerChunks);
      return;
    }
  }
  if (state_.running.size() == 1) {
    fail_last(state_.plan.predicted_bytes, /*alone_in_step=*/true);
    return;
  }
  effects.evicted.push_back(evict_running(victim_rule_->choose(/*missing_blocks=*/1)));
  effects.swap_bytes = effects.evicted.back().swapped_bytes;
}

void ContinuousBatcher::finish(Row row) {
  test_->note_end();
  chunk_limit_.grow();
  remove(row);
}

void ContinuousBatcher::abort(Row row) { remove(row); }

void ContinuousBatcher::remove(Row row) {
  Sequence& sequence = **row;
  state_.running.erase(row);
  state_.release(sequence);
  gate_.note_freed_memory();
}

HeldMemory ContinuousBatcher::held() const {
  const MemoryModel& memory = state_.memory;
  const std::int64_t kv = state_.used_blocks * memory.block_bytes();
  const std::int64_t reserved =
      std::max(state_.used_blocks, state_.reserved_blocks) * memory.block_bytes();
  return {kv, reserved, memory.fixed_bytes() + memory.step_bytes(state_.plan.work.shape()) + kv};
}

}  // namespace warpgroup
