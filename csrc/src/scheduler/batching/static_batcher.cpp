#include "warpgroup/scheduler/batching/static_batcher.hpp"

#include <algorithm>

namespace warpgroup {

std::string StaticBatcher::why_never_fits(const Request& request) const {
  const MemoryModel& memory = state_.memory;
  const std::int64_t bytes = memory.fixed_bytes() +
                             memory.step_bytes({request.prompt_tokens, 0, 1}) +
                             memory.padded_kv_bytes(1, request.prompt_tokens);
  if (bytes <= memory.budget_bytes()) return "";
  return "prompt of " + std::to_string(request.prompt_tokens) + " tokens needs " +
         std::to_string(bytes) + " bytes alone, the budget is " +
         std::to_string(memory.budget_bytes());
}

void StaticBatcher::plan() {
  if (state_.running.empty()) form_batch();
  if (state_.running.empty()) return;
  state_.plan.work.sampled_rows = rows();
  if (state_.running.front()->cached == 0) {
    plan_prefill();
  } else {
    plan_decode();
  }
  if (!state_.waiting.empty()) {
    state_.plan.blocked_by =
        rows() < state_.max_running() ? BlockedBy::kCompute : BlockedBy::kCount;
  }
}

void StaticBatcher::queue_changed() {
  if (state_.waiting.empty()) next_batch_rows_ = 0;
}

bool StaticBatcher::batch_is_due() const {
  if (state_.waiting.empty()) return false;
  const auto waiting = static_cast<std::int64_t>(state_.waiting.size());
  return next_batch_rows_ > 0 || waiting >= state_.max_running() ||
         state_.plan.plan_ns - state_.waiting.front()->queued_ns >= state_.policy.timeout_ns;
}

void StaticBatcher::form_batch() {
  WaitingQueue& waiting = state_.waiting;
  if (!batch_is_due()) {
    if (!waiting.empty()) {
      state_.plan.wake_ns = waiting.front()->queued_ns + state_.policy.timeout_ns;
    }
    return;
  }
  const std::int64_t most = next_batch_rows_ > 0 ? next_batch_rows_ : state_.max_running();
  next_batch_rows_ = 0;
  padded_prompt_ = 0;
  decoded_ = 0;
  while (!waiting.empty() && rows() < most) {
    Sequence& first = *waiting.front();
    waiting.remove(&first);
    state_.running.push_back(&first);
    padded_prompt_ = std::max(padded_prompt_, first.request.prompt_tokens);
    state_.plan.admitted.push_back(first.request.id);
  }
}

void StaticBatcher::plan_prefill() {
  StepPlan& plan = state_.plan;
  StepWork& work = plan.work;
  work.prefill_tokens = rows() * padded_prompt_;
  work.prefill_pairs = rows() * padded_prompt_ * (padded_prompt_ + 1) / 2;
  work.fresh_tokens = work.prefill_tokens;
  work.fresh_pairs = work.prefill_pairs;
  work.prefill_context = rows() * padded_prompt_;
  work.padding_tokens = work.prefill_tokens;
  for (const Sequence* row : state_.running) {
    const std::int64_t prompt = row->request.prompt_tokens;
    work.padding_tokens -= prompt;
    plan.prefill.push_back({row->request.id, 0, prompt});
    plan.joined.push_back({row->request.id, 1});
  }
  plan.kv_bytes = state_.memory.padded_kv_bytes(rows(), padded_prompt_);
  plan.predicted_bytes = batch_bytes(0);
  plan.horizon = 1;
}

// Padding is held in memory, and computed in the prefill; attention to caches skips it.
void StaticBatcher::plan_decode() {
  StepPlan& plan = state_.plan;
  StepWork& work = plan.work;
  work.decode_rows = rows();
  for (const Sequence* row : state_.running) {
    const std::int64_t context = row->request.prompt_tokens + decoded_ + 1;
    work.context_tokens += context;
    work.longest_context = std::max(work.longest_context, context);
    if (row->ended) {
      work.padding_tokens += 1;
    } else {
      plan.decode.push_back(row->request.id);
    }
  }
  plan.kv_bytes = state_.memory.padded_kv_bytes(rows(), padded_prompt_ + decoded_ + 1);
  plan.predicted_bytes = batch_bytes(decoded_ + 1);
  plan.horizon = horizon();
}

// VRAM that the batch needs: in its prefill (decoded = 0), or in its decode step number `decoded`.
std::int64_t StaticBatcher::batch_bytes(std::int64_t decoded) const {
  const StepShape step =
      decoded == 0 ? StepShape{rows() * padded_prompt_, 0, rows()} : StepShape{0, rows(), rows()};
  return state_.memory.fixed_bytes() + state_.memory.step_bytes(step) +
         state_.memory.padded_kv_bytes(rows(), padded_prompt_ + decoded);
}

// For how many steps nothing changes: until a request reaches its limit, or memory runs out.
std::int64_t StaticBatcher::horizon() const {
  // Beyond this many tokens a row the caches alone exceed the budget. Without this bound the bytes
  // of a generous max_new_tokens would overflow.
  const MemoryModel& memory = state_.memory;
  std::int64_t limit =
      (memory.budget_bytes() / memory.padded_kv_bytes(rows(), 1) + 1) * memory.block_tokens();
  for (const Sequence* row : state_.running) {
    if (!row->ended) limit = std::min(limit, row->remaining_limit());
  }
  std::int64_t enough = 1;
  std::int64_t beyond = limit + 1;
  while (beyond - enough > 1) {
    const std::int64_t middle = enough + (beyond - enough) / 2;
    const bool fits = batch_bytes(decoded_ + middle) <= memory.budget_bytes();
    (fits ? enough : beyond) = middle;
  }
  return enough;
}

void StaticBatcher::advance(std::int64_t steps) {
  if (state_.plan.prefill.empty()) decoded_ += steps;
  for (Sequence* row : state_.running) {
    if (row->ended) continue;
    const std::int64_t computed = row->cached == 0 ? row->request.prompt_tokens : steps;
    row->cached += computed;
    state_.filled_tokens += computed;
    row->generated += steps;
  }
}

bool StaticBatcher::makes_token(const Sequence& sequence) const {
  const auto& running = state_.running;
  return !sequence.ended && std::find(running.begin(), running.end(), &sequence) != running.end();
}

// The batch goes when its last request has ended.
void StaticBatcher::end(Sequence& sequence) {
  state_.filled_tokens -= sequence.cached;
  sequence.ended = true;
  const bool all_ended = std::all_of(state_.running.begin(), state_.running.end(),
                                     [](const Sequence* row) { return row->ended; });
  if (!all_ended) return;
  for (Sequence* row : state_.running) state_.sequences.erase(row->request.id);
  state_.running.clear();
}

// Everything that the batch computed is lost. Its first half runs next; the rest waits in front.
void StaticBatcher::recover_from_oom() {
  const std::size_t rows_before = state_.running.size();
  if (rows_before == 1) {
    Sequence& alone = *state_.running.back();
    state_.running.clear();
    state_.fail(alone, state_.plan.predicted_bytes, /*alone_in_step=*/true);
    return;
  }
  const std::int64_t freed = state_.memory.padded_kv_bytes(1, padded_prompt_ + decoded_);
  for (auto row = state_.running.rbegin(); row != state_.running.rend(); ++row) {
    Sequence& sequence = **row;
    if (sequence.ended) {
      state_.sequences.erase(sequence.request.id);
      continue;
    }
    state_.oom_effects.evicted.push_back(
        {sequence.request.id, sequence.cached, sequence.generated, freed, 0});
    state_.filled_tokens -= sequence.cached;
    sequence.cached = 0;
    sequence.generated = 0;
    sequence.preemptions += 1;
    state_.waiting.push_front(&sequence);
  }
  state_.running.clear();
  next_batch_rows_ = static_cast<std::int64_t>((rows_before + 1) / 2);
}

HeldMemory StaticBatcher::held() const {
  const std::int64_t kv = state_.memory.padded_kv_bytes(rows(), padded_prompt_ + decoded_);
  const bool decoded = state_.plan.prefill.empty();
  return {kv, kv, decoded ? batch_bytes(decoded_) : state_.plan.predicted_bytes};
}

}  // namespace warpgroup
