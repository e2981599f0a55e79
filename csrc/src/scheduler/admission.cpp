// Who of those that wait may run.

#include <algorithm>

#include "warpgroup/packing/packing.hpp"
#include "warpgroup/scheduler/scheduler.hpp"

namespace warpgroup {

namespace {

// SGLang looks no further ahead than this, lest a generous max_new_tokens shut everybody out.
constexpr std::int64_t kRatioLookahead = 4096;

}  // namespace

void Scheduler::admit_waiting(std::int64_t& token_budget) {
  if (running_.empty()) batch_is_formed_ = false;
  if (waiting_.empty()) {
    batch_is_formed_ = true;
    return;
  }
  if (policy_.barrier && batch_is_formed_) {
    plan_.blocked_by = BlockedBy::kCount;
    return;
  }
  if (policy_.batching == Batching::kBins) {
    admit_bins(token_budget);
    return;
  }
  if (!admission_may_change_) {
    plan_.blocked_by = BlockedBy::kMemory;
    return;
  }
  BlockedBy why = BlockedBy::kNone;
  do {
    stock_taken_ = false;
    why = admit_in_turn(token_budget);
    if (why == BlockedBy::kNone) why = admit_out_of_turn(token_budget);
  } while (why == BlockedBy::kMemory && running_.empty() && fail_what_never_fits());
  plan_.blocked_by = why;
  // Those whom only the step's tokens kept out still belong to this batch.
  batch_is_formed_ = why != BlockedBy::kTokens;
  admission_may_change_ = why != BlockedBy::kMemory;
}

// Those who waited too long, or were evicted, come first and let nobody overtake.
BlockedBy Scheduler::admit_in_turn(std::int64_t& token_budget) {
  while (!waiting_.empty() && aged(*waiting_.front())) {
    Sequence& first = *waiting_.front();
    const BlockedBy why = obstacle(first, token_budget);
    if (why != BlockedBy::kNone) return why;
    admit(first, token_budget);
  }
  return BlockedBy::kNone;
}

BlockedBy Scheduler::admit_out_of_turn(std::int64_t& token_budget) {
  BlockedBy why = BlockedBy::kNone;
  auto next = waiting_.candidates().begin();
  while (next != waiting_.candidates().end()) {
    Sequence& candidate = **next++;
    const BlockedBy reason = obstacle(candidate, token_budget);
    if (reason == BlockedBy::kNone) {
      admit(candidate, token_budget);
      if (!policy_.overtake) next = waiting_.candidates().begin();
      continue;
    }
    why = reason;
    // Anything but memory would stop everybody else too.
    if (reason != BlockedBy::kMemory || !policy_.overtake) break;
  }
  return why;
}

BlockedBy Scheduler::obstacle(const Sequence& sequence, std::int64_t token_budget) {
  if (closed_until_freed_ && !running_.empty()) return BlockedBy::kMemory;
  if (static_cast<std::int64_t>(running_.size()) >= cap()) return BlockedBy::kCount;
  if (token_budget <= 0 || prefill_budget_ <= 0) return BlockedBy::kTokens;
  return fits(sequence) ? BlockedBy::kNone : BlockedBy::kMemory;
}

bool Scheduler::fits(const Sequence& sequence) {
  if (!policy_.sees_memory()) return true;
  const std::int64_t prompt = blocks_for(sequence.tokens());
  if (prompt > pool_blocks_ - used_blocks_) return false;
  // Alone, a request may run until it has really outgrown the pool.
  if (running_.empty()) return true;
  if (!stock_taken_) take_stock();
  const std::int64_t kept_free = pool_blocks_ * policy_.watermark_ppm / 1'000'000;
  switch (policy_.admission) {
    case Admission::kBlind:
      return true;
    case Admission::kPromptFits:
      return prompt + kept_free <= pool_blocks_ - used_blocks_;
    case Admission::kPeakReserved:
      return promised_blocks(sequence) <= pool_blocks_ - reserved_blocks_;
    case Admission::kTokenRatio:
      return ratio_needs(sequence) < (pool_blocks_ - used_blocks_) * memory_.block_tokens();
    case Admission::kFuturePeak:
      return future_.fits(course_if_admitted(sequence), pool_blocks_ - kept_free);
    case Admission::kSkyline:
      return skyline_.fits(course_if_admitted(sequence), pool_blocks_);
  }
  return false;
}

bool Scheduler::aged(const Sequence& sequence) const {
  return sequence.preemptions > 0 ||
         (policy_.age_ns != Policy::kNever && plan_.plan_ns - sequence.queued_ns >= policy_.age_ns);
}

void Scheduler::admit(Sequence& sequence, std::int64_t& token_budget) {
  const Course course = course_if_admitted(sequence);
  sequence.end_step = step_ + course.last;
  if (stock_taken_ && policy_.admission == Admission::kFuturePeak) future_.add(course);
  if (stock_taken_ && policy_.admission == Admission::kSkyline) skyline_.add(course);
  if (policy_.admission == Admission::kPeakReserved) {
    sequence.reserved = promised_blocks(sequence);
    reserved_blocks_ += sequence.reserved;
  }
  if (sequence.queued_ns < plan_.plan_ns) {
    constexpr std::size_t kRemembered = 64;
    admission_clock_.push_back(queued_clock_ns_);
    if (admission_clock_.size() > kRemembered) admission_clock_.pop_front();
  }
  waiting_.remove(&sequence);
  running_.push_back(&sequence);
  plan_.admitted.push_back(sequence.request.id);
  if (sequence.on_host > 0) {
    const std::int64_t bytes = blocks_for(sequence.on_host) * memory_.block_bytes();
    plan_.restored.push_back({sequence.request.id, bytes});
    plan_.work.swap_bytes += bytes;
    sequence.cached = sequence.on_host;
    filled_tokens_ += sequence.cached;
    give_up_host_memory(sequence);
  }
  const std::int64_t tokens = std::min({sequence.to_compute(), token_budget, prefill_budget_});
  token_budget -= tokens;
  prefill_budget_ -= tokens;
  sequence.scheduled = tokens;
  const std::int64_t promised =
      policy_.holds_promise ? sequence.reserved * memory_.block_tokens() : 0;
  hold(sequence, std::max(sequence.cached + tokens, promised));  // fits() asked for as much
  schedule(sequence);
}

// What the running requests will need, as the policy sees it now: once for each attempt to admit,
// and only if somebody's prompt fits at all. admit() keeps it up to date.
void Scheduler::take_stock() {
  stock_taken_ = true;
  if (policy_.admission == Admission::kFuturePeak) {
    std::vector<Course> courses;
    courses.reserve(running_.size());
    for (Sequence* sequence : running_) courses.push_back(course_of(*sequence));
    future_.assign(courses);
  } else if (policy_.admission == Admission::kSkyline) {
    skyline_.reset();
    for (Sequence* sequence : running_) skyline_.add(course_of(*sequence));
  }
}

// The pool may have shrunk since they were accepted. True if there was one.
bool Scheduler::fail_what_never_fits() {
  const std::size_t before = waiting_.size();
  for (Sequence* sequence : waiting_.all()) {
    const std::int64_t blocks = blocks_for(sequence->tokens());
    if (blocks <= pool_blocks_) continue;
    waiting_.remove(sequence);
    fail(*sequence, blocks * memory_.block_bytes(), /*alone_in_step=*/false);
  }
  return waiting_.size() < before;
}

// The last token made is never attended to, so its keys and values are never held.
std::int64_t Scheduler::promised_blocks(const Sequence& sequence) const {
  const Request& request = sequence.request;
  std::int64_t tokens = request.prompt_tokens + request.max_new_tokens - 1;
  if (policy_.promise == Promise::kLongest) tokens = std::max(tokens, limits_.max_model_tokens);
  if (policy_.promise == Promise::kPredicted) {
    tokens = request.prompt_tokens + predicted_output(sequence) - 1;
  }
  return std::min(blocks_for(tokens), pool_blocks_);
}

std::int64_t Scheduler::predicted_output(const Sequence& sequence) const {
  if (policy_.sees_lengths) return sequence.request.output_tokens;
  return predictor_.quantile(sequence.request.max_new_tokens, sequence.generated,
                             policy_.overflow_ppm);
}

Course Scheduler::course_if_admitted(const Sequence& sequence) const {
  const Request& request = sequence.request;
  Course course{sequence.tokens(), sequence.generated, request.max_new_tokens,
                sequence.remaining_limit() - 1};
  if (policy_.admission == Admission::kFuturePeak) {
    // A request that outlives a length that was given as true is taken to end at once.
    course.last = std::max<std::int64_t>(predicted_output(sequence) - sequence.generated - 1, 0);
  } else if (policy_.admission == Admission::kSkyline) {
    course.lengths = &predictor_.lengths_after(request.prompt_tokens);
  }
  return course;
}

// A predicted end stays where it is, in absolute steps, until it has passed.
Course Scheduler::course_of(Sequence& sequence) {
  const bool stands = policy_.admission == Admission::kFuturePeak && !policy_.sees_lengths &&
                      sequence.end_step >= step_;
  if (stands) {
    return {sequence.tokens(), sequence.generated, sequence.request.max_new_tokens,
            sequence.end_step - step_};
  }
  const Course course = course_if_admitted(sequence);
  sequence.end_step = step_ + course.last;
  return course;
}

// Tokens that must be free for a request beside a share of what the others may still generate.
std::int64_t Scheduler::ratio_needs(const Sequence& sequence) const {
  const auto may_generate = [](const Sequence& s) {
    return std::min(s.remaining_limit(), kRatioLookahead);
  };
  std::int64_t others = 0;
  for (const Sequence* running : running_) {
    // Those admitted in this very step count in full.
    const bool is_new = running->cached == 0;
    others += may_generate(*running) * (is_new ? 1'000'000 : token_ratio_ppm_);
    others +=
        (blocks_for(running->tokens()) - running->blocks) * memory_.block_tokens() * 1'000'000;
  }
  return others / 1'000'000 + sequence.tokens() + may_generate(sequence) + memory_.block_tokens();
}

// Bins are formed from all that wait and run one after another; whoever comes meanwhile waits for
// the next packing. Prefilling a bin takes as many steps as its tokens need. One that cannot start
// though nobody runs, since the pool has shrunk, is dropped and its requests are packed again.
void Scheduler::admit_bins(std::int64_t& token_budget) {
  plan_.blocked_by = BlockedBy::kCompute;
  if (bin_is_open_) admit_from_bin(token_budget);
  while (running_.empty() && !waiting_.empty() && token_budget > 0 && prefill_budget_ > 0) {
    if (bins_.empty()) form_bins();
    if (bins_.empty()) return;
    bin_is_open_ = true;
    admit_from_bin(token_budget);
    if (running_.empty() && bin_is_open_) close_bin();
  }
}

void Scheduler::form_bins() {
  fail_what_never_fits();
  std::vector<std::int64_t> ids;
  std::vector<std::int64_t> peaks;
  for (const Sequence* sequence : waiting_.candidates()) {
    ids.push_back(sequence->request.id);
    peaks.push_back(promised_blocks(*sequence));
  }
  const Packing packing = pack(peaks.data(), peaks.size(), pool_blocks_, "ffd");
  bins_.resize(static_cast<std::size_t>(packing.num_bins));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    bins_[static_cast<std::size_t>(packing.bin_of[i])].push_back(ids[i]);
  }
}

void Scheduler::admit_from_bin(std::int64_t& token_budget) {
  std::vector<std::int64_t> rest;
  for (const std::int64_t id : bins_.front()) {
    const auto place = sequences_.find(id);
    if (place == sequences_.end()) continue;  // aborted meanwhile
    if (obstacle(place->second, token_budget) == BlockedBy::kNone) {
      admit(place->second, token_budget);
    } else {
      rest.push_back(id);
    }
  }
  bins_.front() = std::move(rest);
  if (bins_.front().empty()) close_bin();
}

void Scheduler::close_bin() {
  bins_.pop_front();
  bin_is_open_ = false;
}

}  // namespace warpgroup
