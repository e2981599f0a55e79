// Continuous batching: requests join and leave at every step, prompts are prefilled in chunks.

#include <algorithm>
#include <limits>

#include "warpgroup/scheduler.hpp"

namespace warpgroup {

void Scheduler::plan_continuous() {
  std::int64_t token_budget = limits_.step_tokens;
  const bool all_held = schedule_running(token_budget);
  // A step that had to evict admits nobody: the newcomer would take what the evicted one needs.
  if (all_held || running_.empty()) {
    if (policy_.order == Order::kArrival) {
      admit_by_arrival(token_budget);
    } else {
      admit_longest_first(token_budget);
    }
  } else if (!waiting_.empty()) {
    plan_.blocked_by = BlockedBy::kMemory;
  }
  if (running_.empty()) return;
  const StepWork& work = plan_.work;
  plan_.kv_bytes = used_blocks_ * memory_.block_bytes();
  plan_.predicted_bytes = memory_.fixed_bytes() +
                          memory_.geometry().activation_bytes(
                              work.prefill_tokens + work.decode_rows, work.sampled_rows) +
                          plan_.kv_bytes;
  plan_.horizon = all_held ? continuous_horizon() : 1;
}

// Gives every running request its tokens of this step, evicting the newest ones while a block is
// missing. False if somebody lost its place.
bool Scheduler::schedule_running(std::int64_t& token_budget) {
  bool all_held = true;
  for (std::size_t i = 0; i < running_.size() && token_budget > 0; ++i) {
    Sequence& sequence = *running_[i];
    const std::int64_t tokens = std::min(sequence.to_compute(), token_budget);
    while (!hold(sequence, sequence.cached + tokens)) {
      all_held = false;
      Sequence& newest = *running_.back();
      const bool itself = &newest == &sequence;
      running_.pop_back();
      if (running_.empty()) {
        const std::int64_t blocks = ceil_div(newest.cached + tokens, memory_.block_tokens());
        fail(newest, blocks * memory_.block_bytes(), /*alone_in_step=*/false);
      } else {
        plan_.evicted.push_back(evict(newest));
      }
      if (itself) return all_held;
    }
    schedule(sequence, tokens);
    token_budget -= tokens;
  }
  return all_held;
}

void Scheduler::admit_by_arrival(std::int64_t& token_budget) {
  if (waiting_.empty()) return;
  if (!admission_may_change_) {
    plan_.blocked_by = BlockedBy::kMemory;
    return;
  }
  while (!waiting_.empty()) {
    Sequence& first = *waiting_.front();
    plan_.blocked_by = obstacle(first, token_budget);
    if (plan_.blocked_by != BlockedBy::kNone) break;
    admit(first, token_budget);
  }
  admission_may_change_ = plan_.blocked_by != BlockedBy::kMemory;
}

void Scheduler::admit_longest_first(std::int64_t& token_budget) {
  if (waiting_.empty()) return;
  if (!admission_may_change_) {
    plan_.blocked_by = BlockedBy::kMemory;
    return;
  }
  BlockedBy why = BlockedBy::kNone;
  // Those who waited too long, or were evicted, come first and let nobody overtake.
  while (!waiting_.empty() && aged(*waiting_.front()) && why == BlockedBy::kNone) {
    Sequence& first = *waiting_.front();
    why = obstacle(first, token_budget);
    if (why == BlockedBy::kNone) admit(first, token_budget);
  }
  if (why == BlockedBy::kNone) {
    auto next = waiting_.by_length().begin();
    while (next != waiting_.by_length().end()) {
      Sequence& candidate = **next++;
      const BlockedBy reason = obstacle(candidate, token_budget);
      if (reason == BlockedBy::kNone) {
        admit(candidate, token_budget);
        continue;
      }
      why = reason;
      if (reason != BlockedBy::kMemory) break;  // it would stop everybody else too
    }
  }
  plan_.blocked_by = why;
  admission_may_change_ = why != BlockedBy::kMemory;
}

BlockedBy Scheduler::obstacle(const Sequence& sequence, std::int64_t token_budget) const {
  if (closed_until_finish_ && !running_.empty()) return BlockedBy::kMemory;
  if (static_cast<std::int64_t>(running_.size()) >= cap()) return BlockedBy::kCount;
  if (token_budget <= 0) return BlockedBy::kTokens;
  return fits(sequence) ? BlockedBy::kNone : BlockedBy::kMemory;
}

bool Scheduler::fits(const Sequence& sequence) const {
  switch (policy_.admission) {
    case Admission::kBlind:
      return true;
    case Admission::kPromptFits: {
      const std::int64_t kept_free =
          running_.empty() ? 0 : pool_blocks_ * policy_.watermark_ppm / 1'000'000;
      return ceil_div(sequence.tokens(), memory_.block_tokens()) + kept_free <=
             pool_blocks_ - used_blocks_;
    }
    case Admission::kPeakReserved:
      return peak_blocks(sequence) <= pool_blocks_ - reserved_blocks_;
  }
  return false;
}

bool Scheduler::aged(const Sequence& sequence) const {
  return sequence.preemptions > 0 || plan_.plan_ns - sequence.queued_ns >= policy_.age_ns;
}

void Scheduler::admit(Sequence& sequence, std::int64_t& token_budget) {
  waiting_.remove(&sequence);
  running_.push_back(&sequence);
  if (policy_.admission == Admission::kPeakReserved) {
    sequence.reserved = peak_blocks(sequence);
    reserved_blocks_ += sequence.reserved;
  }
  plan_.admitted.push_back(sequence.request.id);
  const std::int64_t tokens = std::min(sequence.to_compute(), token_budget);
  hold(sequence, tokens);  // cannot fail: fits() asked for at least as much
  schedule(sequence, tokens);
  token_budget -= tokens;
}

void Scheduler::schedule(Sequence& sequence, std::int64_t tokens) {
  StepWork& work = plan_.work;
  sequence.scheduled = tokens;
  const std::int64_t id = sequence.request.id;
  const std::int64_t end = sequence.cached + tokens;
  if (sequence.prefilled) {
    work.decode_rows += 1;
    work.context_tokens += end;
    work.sampled_rows += 1;
    plan_.decode.push_back(id);
    return;
  }
  work.prefill_tokens += tokens;
  work.prefill_pairs += tokens * sequence.cached + tokens * (tokens + 1) / 2;
  work.prefill_context += end;
  plan_.prefill.push_back({id, sequence.cached, tokens});
  if (end == sequence.tokens()) {
    work.sampled_rows += 1;
    plan_.joined.push_back({id, sequence.generated + 1});
  }
}

// Makes room for the keys and values of the sequence's first `tokens` tokens. False if the policy
// sees memory and blocks are missing.
bool Scheduler::hold(Sequence& sequence, std::int64_t tokens) {
  const std::int64_t needed = ceil_div(tokens, memory_.block_tokens());
  const std::int64_t more = needed - sequence.blocks;
  if (more <= 0) return true;
  if (policy_.sees_memory() && more > free_blocks()) return false;
  used_blocks_ += more;
  sequence.blocks = needed;
  if (policy_.admission == Admission::kPeakReserved && needed > sequence.reserved) {
    const std::int64_t outgrown = sequence.reserved;
    sequence.reserved = std::max(needed, peak_blocks(sequence));
    reserved_blocks_ += sequence.reserved - outgrown;
  }
  return true;
}

// The last token made is never attended to, so its keys and values are never held.
std::int64_t Scheduler::peak_blocks(const Sequence& sequence) const {
  const std::int64_t output =
      predictor_.predict(sequence.request.max_new_tokens, sequence.generated);
  const std::int64_t tokens = sequence.request.prompt_tokens + output - 1;
  return std::min(ceil_div(tokens, memory_.block_tokens()), pool_blocks_);
}

// A blind policy may use whatever the budget holds beside this step's own activations.
std::int64_t Scheduler::free_blocks() const {
  if (policy_.sees_memory()) return pool_blocks_ - used_blocks_;
  return (memory_.budget_bytes() - plan_.predicted_bytes) / memory_.block_bytes();
}

// For how many steps nothing can change but by a request finishing or arriving: until a request
// reaches its limit, a missing block, or an outgrown reservation. Admission cannot change earlier,
// since free memory only shrinks meanwhile.
std::int64_t Scheduler::continuous_horizon() const {
  if (!plan_.prefill.empty() || plan_.work.decode_rows == 0) return 1;
  if (plan_.predicted_bytes > memory_.budget_bytes()) return 1;

  const std::int64_t block = memory_.block_tokens();
  const bool reserves = policy_.admission == Admission::kPeakReserved;
  std::int64_t limit = std::numeric_limits<std::int64_t>::max();
  // rows_with_room[r]: decoding requests whose blocks can hold r more tokens.
  std::vector<std::int64_t> rows_with_room(static_cast<std::size_t>(block) + 1, 0);
  for (const Sequence* sequence : running_) {
    if (sequence->scheduled == 0) return 1;  // not everybody found room in the token budget
    limit = std::min(limit, sequence->remaining_limit());
    if (reserves) limit = std::min(limit, sequence->reserved * block - sequence->cached);
    const std::int64_t room = sequence->blocks * block - sequence->cached;
    rows_with_room[static_cast<std::size_t>(std::min(room, block))] += 1;
  }

  const std::int64_t free = free_blocks();
  const auto blocks_taken_by = [&](std::int64_t steps) {
    std::int64_t blocks = 0;
    for (std::int64_t room = 0; room <= std::min(block, steps - 1); ++room) {
      blocks += rows_with_room[static_cast<std::size_t>(room)] * ceil_div(steps - room, block);
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

void Scheduler::advance_continuous(std::int64_t steps) {
  for (Sequence* sequence : running_) {
    if (sequence->scheduled == 0) continue;
    if (sequence->prefilled) {
      hold(*sequence, sequence->cached + steps);  // cannot fail within the horizon
      sequence->cached += steps;
      sequence->generated += steps;
    } else {
      sequence->cached += sequence->scheduled;
      sequence->prefilled = sequence->to_compute() == 0;
      sequence->generated += sequence->prefilled ? 1 : 0;
    }
    sequence->scheduled = 0;
  }
}

// Takes a request that is no longer in `running_` back to the front of the queue.
Evicted Scheduler::evict(Sequence& sequence) {
  const Evicted evicted{sequence.request.id, sequence.cached, 0,
                        sequence.blocks * memory_.block_bytes()};
  used_blocks_ -= sequence.blocks;
  reserved_blocks_ -= sequence.reserved;
  sequence.cached = sequence.blocks = sequence.reserved = sequence.scheduled = 0;
  sequence.prefilled = false;
  sequence.preemptions += 1;
  sequence.queued_ns = plan_.plan_ns;
  waiting_.push_front(&sequence);
  admission_may_change_ = true;
  return evicted;
}

void Scheduler::oom_continuous() {
  for (Sequence* sequence : running_) sequence->scheduled = 0;
  Sequence& newest = *running_.back();
  running_.pop_back();
  if (running_.empty()) {
    fail(newest, plan_.predicted_bytes, /*alone_in_step=*/true);
    return;
  }
  evicted_by_oom_.push_back(evict(newest));
  closed_until_finish_ = true;
}

}  // namespace warpgroup
