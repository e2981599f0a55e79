#include "warpgroup/scheduler/scheduler.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace warpgroup {

namespace {

// What a change of the plan hash is about.
enum Change : std::uint64_t {
  kAdmitted = 1,
  kPrefilled,
  kEvicted,
  kFailed,
  kFinished,
  kMemoryHeld,
  kRestored,
  kDegraded
};

// The finaliser of SplitMix64: every bit of the input reaches every bit of the result.
std::uint64_t scrambled(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// In arrival order only the first in the queue is ever looked at, unless others may overtake it, or
// the whole queue is packed.
std::int64_t window_of(const Policy& policy) {
  const bool one_by_one = policy.order == Order::kArrival && !policy.overtake;
  return one_by_one && policy.batching != Batching::kBins ? 1 : policy.window;
}

}  // namespace

Scheduler::Scheduler(Policy policy, MemoryModel memory, EngineLimits limits)
    : policy_(std::move(policy)),
      memory_(std::move(memory)),
      limits_(limits),
      waiting_(policy_.order, window_of(policy_)),
      pool_blocks_(memory_.pool_blocks()),
      chunk_limit_(limits.step_tokens),
      token_ratio_ppm_(policy_.ratio_ppm),
      future_(memory_.block_tokens()),
      skyline_(memory_.block_tokens(), policy_.overflow_ppm) {
  if (limits_.max_seqs < 1) {
    throw std::invalid_argument("max_seqs is " + std::to_string(limits_.max_seqs) +
                                ", expected at least 1");
  }
  if (!is_static() && limits_.step_tokens < cap()) {
    throw std::invalid_argument("step_tokens is " + std::to_string(limits_.step_tokens) +
                                ", expected at least one for each of " + std::to_string(cap()) +
                                " running requests");
  }
}

std::int64_t Scheduler::cap() const {
  return policy_.max_requests > 0 ? policy_.max_requests : limits_.max_seqs;
}

Submission Scheduler::submit(const Request& request) {
  if (request.prompt_tokens < 1 || request.max_new_tokens < 1) {
    throw std::invalid_argument("request " + std::to_string(request.id) +
                                ": prompt_tokens and max_new_tokens must be at least 1");
  }
  if (policy_.sees_lengths && request.output_tokens < 1) {
    throw std::invalid_argument("request " + std::to_string(request.id) + ": policy '" +
                                policy_.id + "' needs its true output length");
  }
  if (sequences_.count(request.id) > 0) {
    throw std::invalid_argument("request " + std::to_string(request.id) + " is here already");
  }
  const std::int64_t ticket = submitted_++;
  const std::int64_t wait_ns = expected_wait(request.arrival_ns);
  if (std::string reason = why_never_fits(request); !reason.empty()) {
    return {false, std::move(reason), wait_ns, false};
  }
  if (limits_.max_wait_ns > 0 && wait_ns > limits_.max_wait_ns) {
    return {false,
            "queue full: " + std::to_string(waiting()) + " requests wait, it would wait " +
                std::to_string(wait_ns / 1'000'000) + " ms, the limit is " +
                std::to_string(limits_.max_wait_ns / 1'000'000),
            wait_ns, true};
  }
  Sequence& sequence =
      sequences_.try_emplace(request.id, Sequence{request, ticket, request.arrival_ns})
          .first->second;
  if (!policy_.sees_lengths) sequence.request.output_tokens = 0;
  waiting_.push_back(&sequence);
  admission_may_change_ = true;
  return {true, "", wait_ns, limits_.max_wait_ns > 0 && 2 * wait_ns > limits_.max_wait_ns};
}

// Time passes for the queue while somebody waits; a request behind n others waits for as long as
// the last n admissions took.
void Scheduler::note_queue_before(std::int64_t now_ns) {
  if (somebody_waited_) queued_clock_ns_ += std::max<std::int64_t>(now_ns - last_plan_ns_, 0);
  last_plan_ns_ = now_ns;
}

std::int64_t Scheduler::expected_wait(std::int64_t now_ns) const {
  constexpr std::size_t kEnough = 8;
  if (waiting_.empty() || admission_clock_.size() < kEnough) return 0;
  std::int64_t clock = queued_clock_ns_;
  if (somebody_waited_) clock += std::max<std::int64_t>(now_ns - last_plan_ns_, 0);
  const std::int64_t each =
      (clock - admission_clock_.front()) / static_cast<std::int64_t>(admission_clock_.size());
  return each * waiting();
}

std::string Scheduler::why_never_fits(const Request& request) const {
  if (!is_static()) {
    const std::int64_t blocks = ceil_div(request.prompt_tokens, memory_.block_tokens());
    if (blocks <= pool_blocks_) return "";
    return "prompt of " + std::to_string(request.prompt_tokens) + " tokens needs " +
           std::to_string(blocks) + " KV blocks, the pool has " + std::to_string(pool_blocks_);
  }
  const std::int64_t bytes = memory_.fixed_bytes() +
                             memory_.step_bytes({request.prompt_tokens, 0, 1}) +
                             memory_.padded_kv_bytes(1, request.prompt_tokens);
  if (bytes <= memory_.budget_bytes()) return "";
  return "prompt of " + std::to_string(request.prompt_tokens) + " tokens needs " +
         std::to_string(bytes) + " bytes alone, the budget is " +
         std::to_string(memory_.budget_bytes());
}

const StepPlan& Scheduler::plan(std::int64_t now_ns) {
  if (outstanding_) throw std::logic_error("plan() was called before the last plan's commit");
  plan_ = StepPlan{};
  plan_.step = step_;
  plan_.plan_ns = now_ns;
  plan_.ticket = submitted_ - 1;
  plan_.evicted = std::exchange(evicted_by_oom_, {});
  plan_.failed = std::exchange(failed_by_oom_, {});
  plan_.degraded = std::exchange(degraded_by_oom_, {});
  plan_.work.swap_bytes = std::exchange(swapped_by_oom_, 0);
  note_queue_before(now_ns);
  if (is_static()) {
    plan_static();
  } else {
    plan_continuous();
  }
  outstanding_ = plan_.horizon > 0;
  somebody_waited_ = !waiting_.empty();
  mix_plan();
  return plan_;
}

StepRecord Scheduler::commit(std::int64_t steps, const std::vector<std::int64_t>& finished) {
  if (!outstanding_) throw std::logic_error("commit() without a plan");
  if (steps < 1 || steps > plan_.horizon) {
    throw std::invalid_argument("commit of " + std::to_string(steps) +
                                " steps, the plan holds for 1 to " + std::to_string(plan_.horizon));
  }
  outstanding_ = false;
  if (is_static()) {
    advance_static(steps);
  } else {
    advance_continuous(steps);
  }
  step_ += steps;
  const StepRecord facts = record(steps);
  for (const std::int64_t id : finished) finish(id);
  apply_aborts();
  if (!finished.empty()) mix(kMemoryHeld, 0, used_blocks_);
  return facts;
}

void Scheduler::commit_oom() {
  if (!outstanding_) throw std::logic_error("commit_oom() without a plan");
  outstanding_ = false;
  admission_may_change_ = true;
  if (is_static()) {
    oom_static();
  } else {
    oom_continuous();
  }
  apply_aborts();
}

void Scheduler::set_budget(std::int64_t budget_bytes) {
  if (outstanding_) throw std::logic_error("set_budget() while a plan is outstanding");
  memory_ = memory_.with_budget(budget_bytes);
  pool_blocks_ = memory_.pool_blocks();
  closed_until_freed_ = false;
  admission_may_change_ = true;
}

bool Scheduler::abort(std::int64_t id) {
  const auto place = sequences_.find(id);
  if (place == sequences_.end() || place->second.ended) return false;
  if (std::find(aborts_.begin(), aborts_.end(), id) != aborts_.end()) return false;
  aborts_.push_back(id);
  if (!outstanding_) apply_aborts();
  return true;
}

void Scheduler::apply_aborts() {
  for (const std::int64_t id : std::exchange(aborts_, {})) {
    const auto place = sequences_.find(id);
    if (place == sequences_.end()) continue;  // it ended in the step that was running
    Sequence& sequence = place->second;
    admission_may_change_ = true;
    const auto row = std::find(running_.begin(), running_.end(), &sequence);
    if (row == running_.end()) {
      waiting_.remove(&sequence);
      release(sequence);
    } else if (is_static()) {
      filled_tokens_ -= sequence.cached;
      sequence.ended = true;
      end_batch_if_done();
    } else {
      running_.erase(row);
      release(sequence);
      closed_until_freed_ = false;
    }
  }
}

void Scheduler::finish(std::int64_t id) {
  const auto place = sequences_.find(id);
  const auto row = place == sequences_.end()
                       ? running_.end()
                       : std::find(running_.begin(), running_.end(), &place->second);
  if (row == running_.end() || (*row)->last_token_step != step_ - 1 || (*row)->ended) {
    throw std::invalid_argument("request " + std::to_string(id) + " made no token in this step");
  }
  Sequence& sequence = **row;
  mix(kFinished, id, sequence.generated);
  predictor_.observe(sequence.request.prompt_tokens, sequence.generated);
  skyline_.learn_from_end();
  admission_may_change_ = true;
  closed_until_freed_ = false;
  chunk_limit_ = std::min(2 * chunk_limit_, limits_.step_tokens);
  if (is_static()) {
    filled_tokens_ -= sequence.cached;
    sequence.ended = true;
    end_batch_if_done();
    return;
  }
  running_.erase(row);
  release(sequence);
}

void Scheduler::fail(Sequence& sequence, std::int64_t needed_bytes, bool alone_in_step) {
  auto& failed = alone_in_step ? failed_by_oom_ : plan_.failed;
  failed.push_back({sequence.request.id, needed_bytes, alone_in_step});
  admission_may_change_ = true;
  release(sequence);
}

void Scheduler::release(Sequence& sequence) {
  used_blocks_ -= sequence.blocks;
  reserved_blocks_ -= sequence.reserved;
  filled_tokens_ -= sequence.cached;
  give_up_host_memory(sequence);
  sequences_.erase(sequence.request.id);
}

StepRecord Scheduler::record(std::int64_t steps) const {
  std::int64_t kv_bytes = 0;
  std::int64_t reserved_bytes = 0;
  std::int64_t predicted_bytes = 0;
  if (is_static()) {
    const auto rows = static_cast<std::int64_t>(running_.size());
    kv_bytes = memory_.padded_kv_bytes(rows, batch_length_ + batch_decoded_);
    reserved_bytes = kv_bytes;
    predicted_bytes = plan_.prefill.empty() ? batch_bytes(batch_decoded_) : plan_.predicted_bytes;
  } else {
    kv_bytes = used_blocks_ * memory_.block_bytes();
    reserved_bytes = std::max(used_blocks_, reserved_blocks_) * memory_.block_bytes();
    predicted_bytes = memory_.fixed_bytes() + memory_.step_bytes(plan_.work.shape()) + kv_bytes;
  }
  return {plan_.step,
          steps,
          plan_.work.prefill_tokens,
          plan_.work.prefill_pairs,
          plan_.work.fresh_tokens,
          plan_.work.fresh_pairs,
          plan_.work.prefill_context,
          plan_.work.decode_rows,
          plan_.work.context_tokens,
          plan_.work.longest_context,
          plan_.work.sampled_rows,
          plan_.work.padding_tokens * steps,
          plan_.kv_bytes,
          kv_bytes,
          predicted_bytes,
          reserved_bytes,
          kv_bytes - filled_tokens_ * memory_.geometry().kv_bytes_per_token(),
          static_cast<std::int64_t>(plan_.blocked_by),
          waiting(),
          running(),
          plan_.ticket,
          plan_.work.swap_bytes,
          plan_.paused_rows};
}

void Scheduler::mix_plan() {
  for (const Degradation rung : plan_.degraded) mix(kDegraded, 0, static_cast<std::int64_t>(rung));
  for (const Evicted& evicted : plan_.evicted) mix(kEvicted, evicted.id, evicted.lost_tokens);
  for (const Failed& failed : plan_.failed) mix(kFailed, failed.id, failed.needed_bytes);
  for (const std::int64_t id : plan_.admitted) mix(kAdmitted, id, 0);
  for (const Restored& restored : plan_.restored) mix(kRestored, restored.id, restored.bytes);
  for (const Chunk& chunk : plan_.prefill) mix(kPrefilled, chunk.id, chunk.tokens);
  // Of a plan without a step no memory is said: the next one that has a step says it.
  const bool changed = !plan_.evicted.empty() || !plan_.failed.empty() || !plan_.prefill.empty();
  if (changed && plan_.horizon > 0) mix(kMemoryHeld, 0, plan_.predicted_bytes);
}

void Scheduler::mix(std::uint64_t what, std::int64_t id, std::int64_t value) {
  for (const std::uint64_t word :
       {static_cast<std::uint64_t>(step_), what, static_cast<std::uint64_t>(id),
        static_cast<std::uint64_t>(value)}) {
    hash_ = scrambled(hash_ + 0x9e3779b97f4a7c15ULL + word);
  }
}

}  // namespace warpgroup
