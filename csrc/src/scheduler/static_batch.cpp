// Static batching: a batch is formed, padded to its longest prompt, and run until its last request
// ends. Every row keeps its memory, and is computed on, until then.

#include <algorithm>
#include <limits>

#include "warpgroup/scheduler/scheduler.hpp"

namespace warpgroup {

void Scheduler::plan_static() {
  if (running_.empty()) form_batch();
  if (running_.empty()) return;

  const auto rows = static_cast<std::int64_t>(running_.size());
  StepWork& work = plan_.work;
  work.sampled_rows = rows;
  if (running_.front()->cached == 0) {
    work.prefill_tokens = rows * batch_length_;
    work.prefill_pairs = rows * batch_length_ * (batch_length_ + 1) / 2;
    work.fresh_tokens = work.prefill_tokens;
    work.fresh_pairs = work.prefill_pairs;
    work.prefill_context = rows * batch_length_;
    work.padding_tokens = work.prefill_tokens;
    for (const Sequence* row : running_) {
      const std::int64_t prompt = row->request.prompt_tokens;
      work.padding_tokens -= prompt;
      plan_.prefill.push_back({row->request.id, 0, prompt});
      plan_.joined.push_back({row->request.id, 1});
    }
    plan_.kv_bytes = memory_.padded_kv_bytes(rows, batch_length_);
    plan_.predicted_bytes = batch_bytes(0);
    plan_.horizon = 1;
  } else {
    work.decode_rows = rows;
    // Padding is held, and computed on in the prefill; attention to caches passes it over.
    for (const Sequence* row : running_) {
      const std::int64_t context = row->request.prompt_tokens + batch_decoded_ + 1;
      work.context_tokens += context;
      work.longest_context = std::max(work.longest_context, context);
      if (row->ended) {
        work.padding_tokens += 1;
      } else {
        plan_.decode.push_back(row->request.id);
      }
    }
    plan_.kv_bytes = memory_.padded_kv_bytes(rows, batch_length_ + batch_decoded_ + 1);
    plan_.predicted_bytes = batch_bytes(batch_decoded_ + 1);
    plan_.horizon = static_horizon();
  }
  if (!waiting_.empty()) {
    plan_.blocked_by = rows < cap() ? BlockedBy::kCompute : BlockedBy::kCount;
  }
}

bool Scheduler::batch_is_due() const {
  if (waiting_.empty()) return false;
  return next_batch_rows_ > 0 || waiting() >= cap() ||
         plan_.plan_ns - waiting_.front()->queued_ns >= policy_.timeout_ns;
}

void Scheduler::form_batch() {
  if (!batch_is_due()) {
    if (!waiting_.empty()) plan_.wake_ns = waiting_.front()->queued_ns + policy_.timeout_ns;
    return;
  }
  const std::int64_t rows = next_batch_rows_ > 0 ? next_batch_rows_ : cap();
  next_batch_rows_ = 0;
  batch_length_ = 0;
  batch_decoded_ = 0;
  while (!waiting_.empty() && static_cast<std::int64_t>(running_.size()) < rows) {
    Sequence& first = *waiting_.front();
    waiting_.remove(&first);
    running_.push_back(&first);
    batch_length_ = std::max(batch_length_, first.request.prompt_tokens);
    plan_.admitted.push_back(first.request.id);
  }
}

// VRAM that the batch needs: in its prefill (decoded = 0), or in its decode step number `decoded`.
std::int64_t Scheduler::batch_bytes(std::int64_t decoded) const {
  const auto rows = static_cast<std::int64_t>(running_.size());
  const StepShape step =
      decoded == 0 ? StepShape{rows * batch_length_, 0, rows} : StepShape{0, rows, rows};
  return memory_.fixed_bytes() + memory_.step_bytes(step) +
         memory_.padded_kv_bytes(rows, batch_length_ + decoded);
}

std::int64_t Scheduler::static_horizon() const {
  std::int64_t limit = std::numeric_limits<std::int64_t>::max();
  for (const Sequence* row : running_) {
    if (!row->ended) limit = std::min(limit, row->remaining_limit());
  }
  std::int64_t enough = 1;
  std::int64_t beyond = limit + 1;
  while (beyond - enough > 1) {
    const std::int64_t middle = enough + (beyond - enough) / 2;
    const bool fits_in = batch_bytes(batch_decoded_ + middle) <= memory_.budget_bytes();
    (fits_in ? enough : beyond) = middle;
  }
  return enough;
}

void Scheduler::advance_static(std::int64_t steps) {
  if (plan_.prefill.empty()) batch_decoded_ += steps;
  for (Sequence* row : running_) {
    if (row->ended) continue;
    const std::int64_t computed = row->cached == 0 ? row->request.prompt_tokens : steps;
    row->cached += computed;
    filled_tokens_ += computed;
    row->generated += steps;
    row->last_token_step = plan_.step + steps - 1;
  }
}

void Scheduler::end_batch_if_done() {
  const bool done =
      std::all_of(running_.begin(), running_.end(), [](const Sequence* row) { return row->ended; });
  if (!done) return;
  for (Sequence* row : running_) sequences_.erase(row->request.id);
  running_.clear();
}

// Everything that the batch computed is lost. Its first half runs next; the rest waits in front.
void Scheduler::oom_static() {
  const std::size_t rows = running_.size();
  if (rows == 1) {
    Sequence& alone = *running_.back();
    running_.clear();
    fail(alone, plan_.predicted_bytes, /*alone_in_step=*/true);
    return;
  }
  for (auto row = running_.rbegin(); row != running_.rend(); ++row) {
    Sequence& sequence = **row;
    if (sequence.ended) {
      sequences_.erase(sequence.request.id);
      continue;
    }
    evicted_by_oom_.push_back({sequence.request.id, sequence.cached, sequence.generated,
                               memory_.padded_kv_bytes(1, batch_length_ + batch_decoded_), 0});
    filled_tokens_ -= sequence.cached;
    sequence.cached = 0;
    sequence.generated = 0;
    sequence.preemptions += 1;
    waiting_.push_front(&sequence);
  }
  running_.clear();
  next_batch_rows_ = static_cast<std::int64_t>((rows + 1) / 2);
}

}  // namespace warpgroup
