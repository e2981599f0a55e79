// Continuous batching: requests join and leave at every step, prompts are prefilled in chunks. Bins
// run by the same code; only their admission differs.

#include <algorithm>
#include <limits>

#include "warpgroup/scheduler/scheduler.hpp"

namespace warpgroup {

namespace {

constexpr std::int64_t kSmallestChunk = 64;
// Steps after which a forecast is looked at again though nothing happened: its requests lived on.
constexpr std::int64_t kForecastSteps = 16;

bool every_row(const Sequence&) { return true; }
bool decoding(const Sequence& sequence) { return sequence.prefilled; }
bool prefilling(const Sequence& sequence) { return !sequence.prefilled; }

}  // namespace

void Scheduler::plan_continuous() {
  std::int64_t token_budget = step_budget();
  prefill_budget_ = prefill_limit();
  if (policy_.admission == Admission::kTokenRatio ||
      (policy_.admission == Admission::kSkyline && step_ % kForecastSteps == 0)) {
    admission_may_change_ = true;
  }
  bool all_held = true;
  switch (policy_.mixing) {
    case Mixing::kRunningFirst:
      all_held = serve(every_row, token_budget);
      break;
    case Mixing::kDecodeFirst:
      all_held = serve(decoding, token_budget) && serve(prefilling, token_budget);
      break;
    case Mixing::kPrefillFirst:
      all_held = serve(prefilling, token_budget);
      break;
  }
  // A step that had to evict admits nobody: the newcomer would take what the evicted one needs.
  if (all_held || running_.empty()) {
    if (running_.empty()) prefill_budget_ = prefill_limit();  // the last one failed, or nobody ran
    admit_waiting(token_budget);
  } else if (!waiting_.empty()) {
    plan_.blocked_by = BlockedBy::kMemory;
  }
  if (policy_.mixing == Mixing::kPrefillFirst && plan_.prefill.empty()) {
    all_held = serve(decoding, token_budget) && all_held;
    if (running_.empty()) admit_waiting(token_budget);  // the last one failed
  }
  if (plan_.prefill.empty() && plan_.decode.empty()) return;
  for (const Sequence* sequence : running_) {
    plan_.paused_rows += sequence->prefilled && sequence->scheduled == 0;
  }
  const StepWork& work = plan_.work;
  plan_.kv_bytes = used_blocks_ * memory_.block_bytes();
  plan_.predicted_bytes = memory_.fixed_bytes() + memory_.step_bytes(work.shape()) + plan_.kv_bytes;
  plan_.horizon = all_held ? continuous_horizon() : 1;
}

std::int64_t Scheduler::step_budget() const {
  return policy_.step_tokens > 0 ? std::min(policy_.step_tokens, limits_.step_tokens)
                                 : limits_.step_tokens;
}

// Small chunks let the running requests make more tokens in the time that a prefill takes, and so
// give their memory back sooner: worth the steps' overhead where memory is what all wait for.
std::int64_t Scheduler::prefill_limit() const {
  const bool pressed = policy_.chunk_tokens > 0 && 2 * used_blocks_ > pool_blocks_;
  return pressed ? std::min(policy_.chunk_tokens, chunk_limit_) : chunk_limit_;
}

// Gives those running requests their tokens of this step. False if somebody lost its place.
bool Scheduler::serve(Rows rows, std::int64_t& token_budget) {
  const std::int64_t needed = allot(rows, token_budget);
  const bool all_held = make_room(needed, token_budget);
  for (Sequence* sequence : running_) {
    if (sequence->scheduled == 0 || !rows(*sequence)) continue;
    hold(*sequence, sequence->cached + sequence->scheduled);
    schedule(*sequence);
  }
  return all_held;
}

// Divides the step's tokens among the rows. Returns the KV blocks that they need beyond theirs.
std::int64_t Scheduler::allot(Rows rows, std::int64_t& token_budget) {
  std::int64_t needed = 0;
  for (Sequence* sequence : running_) {
    if (!rows(*sequence)) continue;
    std::int64_t tokens = std::min(sequence->to_compute(), token_budget);
    if (!sequence->prefilled) {
      tokens = std::min(tokens, prefill_budget_);
      prefill_budget_ -= tokens;
    }
    token_budget -= tokens;
    sequence->scheduled = tokens;
    sequence->wanted =
        std::max<std::int64_t>(blocks_for(sequence->cached + tokens) - sequence->blocks, 0);
    needed += sequence->wanted;
  }
  return needed;
}

// Evicts until the blocks that are needed are free; the last one left fails if it outgrew the pool.
bool Scheduler::make_room(std::int64_t needed, std::int64_t& token_budget) {
  if (!policy_.sees_memory()) return true;
  bool all_held = true;
  while (needed > free_blocks() && !running_.empty()) {
    all_held = false;
    Sequence& victim =
        running_.size() == 1 ? *running_.front() : choose_victim(needed - free_blocks());
    const bool alone = running_.size() == 1;
    needed -= victim.scheduled > 0 ? victim.wanted : 0;
    token_budget += victim.scheduled;
    if (!victim.prefilled) prefill_budget_ += victim.scheduled;
    if (alone) {
      const std::int64_t blocks = blocks_for(victim.cached + victim.scheduled);
      running_.clear();
      fail(victim, blocks * memory_.block_bytes(), /*alone_in_step=*/false);
    } else {
      running_.erase(std::find(running_.begin(), running_.end(), &victim));
      plan_.evicted.push_back(evict(victim));
    }
  }
  if (!all_held && policy_.victim == Victim::kLeastOutput) raise_token_ratio();
  if (!all_held && policy_.victim == Victim::kCheapest && !running_.empty()) {
    closed_until_freed_ = true;
    plan_.degraded.push_back(Degradation::kAdmitLess);
  }
  return all_held;
}

void Scheduler::schedule(Sequence& sequence) {
  StepWork& work = plan_.work;
  const std::int64_t id = sequence.request.id;
  const std::int64_t tokens = sequence.scheduled;
  const std::int64_t end = sequence.cached + tokens;
  if (sequence.prefilled) {
    work.decode_rows += 1;
    work.context_tokens += end;
    work.longest_context = std::max(work.longest_context, end);
    work.sampled_rows += 1;
    plan_.decode.push_back(id);
    return;
  }
  work.prefill_tokens += tokens;
  const std::int64_t pairs = tokens * sequence.cached + tokens * (tokens + 1) / 2;
  work.prefill_pairs += pairs;
  if (sequence.cached == 0) {
    work.fresh_tokens += tokens;
    work.fresh_pairs += pairs;
  }
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
  const std::int64_t needed = blocks_for(tokens);
  const std::int64_t more = needed - sequence.blocks;
  if (more <= 0) return true;
  if (policy_.sees_memory() && more > free_blocks()) return false;
  used_blocks_ += more;
  sequence.blocks = needed;
  if (policy_.admission == Admission::kPeakReserved && needed > sequence.reserved) {
    const std::int64_t outgrown = sequence.reserved;
    sequence.reserved = std::max(needed, promised_blocks(sequence));
    reserved_blocks_ += sequence.reserved - outgrown;
  }
  return true;
}

// A blind policy may use whatever the budget holds beside this step's own activations.
std::int64_t Scheduler::free_blocks() const {
  if (policy_.sees_memory()) return pool_blocks_ - used_blocks_;
  return (memory_.budget_bytes() - plan_.predicted_bytes) / memory_.block_bytes();
}

// For how many steps nothing can change but by a request finishing or arriving: until a request
// reaches its limit, a missing block, an outgrown reservation, or another look at a forecast.
// Admission cannot change earlier, since free memory only shrinks meanwhile.
std::int64_t Scheduler::continuous_horizon() const {
  if (!plan_.prefill.empty() || plan_.work.decode_rows == 0) return 1;
  if (plan_.work.swap_bytes > 0) return 1;
  if (plan_.predicted_bytes > memory_.budget_bytes()) return 1;

  const std::int64_t block = memory_.block_tokens();
  const bool reserves = policy_.admission == Admission::kPeakReserved;
  std::int64_t limit = std::numeric_limits<std::int64_t>::max();
  if (!waiting_.empty() && policy_.admission == Admission::kTokenRatio) return 1;
  if (!waiting_.empty() && policy_.admission == Admission::kSkyline) {
    limit = kForecastSteps - step_ % kForecastSteps;
  }
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
  if (policy_.admission == Admission::kTokenRatio && plan_.work.decode_rows > 0) {
    // From the start to a seventh of it in 600 decode steps.
    const std::int64_t least = policy_.ratio_ppm * 14 / 100;
    const std::int64_t decay = (policy_.ratio_ppm - least) / 600;
    token_ratio_ppm_ = std::max(token_ratio_ppm_ - decay * steps, least);
  }
  for (Sequence* sequence : running_) {
    if (sequence->scheduled == 0) continue;
    if (sequence->prefilled) {
      hold(*sequence, sequence->cached + steps);  // cannot fail within the horizon
      sequence->cached += steps;
      sequence->generated += steps;
      sequence->last_token_step = plan_.step + steps - 1;
      filled_tokens_ += steps;
    } else {
      sequence->cached += sequence->scheduled;
      filled_tokens_ += sequence->scheduled;
      sequence->prefilled = sequence->to_compute() == 0;
      if (sequence->prefilled) {
        sequence->generated += 1;
        sequence->last_token_step = plan_.step;
      }
    }
    sequence->scheduled = 0;
  }
}

// The step had no effect. What is given up: admissions, then the size of prefills, then the cache
// of a request; a blind policy goes straight to the last.
void Scheduler::oom_continuous() {
  for (Sequence* sequence : running_) sequence->scheduled = 0;
  closed_until_freed_ = true;
  if (policy_.sees_memory()) {
    degraded_by_oom_.push_back(Degradation::kAdmitLess);
    if (plan_.work.prefill_tokens > kSmallestChunk) {
      chunk_limit_ = std::max(plan_.work.prefill_tokens / 2, kSmallestChunk);
      degraded_by_oom_.push_back(Degradation::kSmallerChunks);
      return;
    }
  }
  if (running_.size() == 1) {
    Sequence& alone = *running_.front();
    running_.clear();
    fail(alone, plan_.predicted_bytes, /*alone_in_step=*/true);
    return;
  }
  Sequence& victim = choose_victim(1);
  running_.erase(std::find(running_.begin(), running_.end(), &victim));
  plan_.work.swap_bytes = 0;
  evicted_by_oom_.push_back(evict(victim));
  swapped_by_oom_ = plan_.work.swap_bytes;
}

}  // namespace warpgroup
