#include "warpgroup/scheduler.hpp"

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
  kMemoryHeld
};

// The finaliser of SplitMix64: every bit of the input reaches every bit of the result.
std::uint64_t scrambled(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace

Scheduler::Scheduler(Policy policy, MemoryModel memory, EngineLimits limits)
    : policy_(std::move(policy)),
      memory_(std::move(memory)),
      limits_(limits),
      predictor_(policy_.overflow_ppm),
      waiting_(policy_.order),
      pool_blocks_(memory_.pool_blocks()) {
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
  const std::int64_t ticket = submitted_;
  if (std::string reason = why_never_fits(request); !reason.empty()) {
    ++submitted_;
    return {false, std::move(reason)};
  }
  const auto [place, is_new] =
      sequences_.try_emplace(request.id, Sequence{request, ticket, request.arrival_ns});
  if (!is_new) {
    throw std::invalid_argument("request " + std::to_string(request.id) + " is here already");
  }
  ++submitted_;
  waiting_.push_back(&place->second);
  admission_may_change_ = true;
  return {true, ""};
}

std::string Scheduler::why_never_fits(const Request& request) const {
  if (!is_static()) {
    const std::int64_t blocks = ceil_div(request.prompt_tokens, memory_.block_tokens());
    if (blocks <= pool_blocks_) return "";
    return "prompt of " + std::to_string(request.prompt_tokens) + " tokens needs " +
           std::to_string(blocks) + " KV blocks, the pool has " + std::to_string(pool_blocks_);
  }
  const std::int64_t bytes = memory_.fixed_bytes() +
                             memory_.geometry().activation_bytes(request.prompt_tokens, 1) +
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
  if (is_static()) {
    plan_static();
  } else {
    plan_continuous();
  }
  outstanding_ = plan_.horizon > 0;
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
      sequences_.erase(place);
    } else if (is_static()) {
      sequence.ended = true;
      end_batch_if_done();
    } else {
      running_.erase(row);
      release(sequence);
    }
  }
}

void Scheduler::finish(std::int64_t id) {
  const auto place = sequences_.find(id);
  const auto row = place == sequences_.end()
                       ? running_.end()
                       : std::find(running_.begin(), running_.end(), &place->second);
  if (row == running_.end() || (*row)->to_compute() != 1 || (*row)->ended) {
    throw std::invalid_argument("request " + std::to_string(id) + " made no token in this step");
  }
  Sequence& sequence = **row;
  mix(kFinished, id, sequence.generated);
  predictor_.observe(sequence.generated);
  admission_may_change_ = true;
  closed_until_finish_ = false;
  if (is_static()) {
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
    predicted_bytes =
        memory_.fixed_bytes() +
        memory_.geometry().activation_bytes(plan_.work.prefill_tokens + plan_.work.decode_rows,
                                            plan_.work.sampled_rows) +
        kv_bytes;
  }
  std::int64_t filled_tokens = 0;
  for (const Sequence* sequence : running_) {
    if (!sequence->ended) filled_tokens += sequence->cached;
  }
  return {plan_.step,
          steps,
          plan_.work.prefill_tokens,
          plan_.work.decode_rows,
          plan_.work.context_tokens,
          plan_.work.padding_tokens * steps,
          plan_.kv_bytes,
          kv_bytes,
          predicted_bytes,
          reserved_bytes,
          kv_bytes - filled_tokens * memory_.geometry().kv_bytes_per_token(),
          static_cast<std::int64_t>(plan_.blocked_by),
          waiting(),
          running(),
          plan_.ticket};
}

void Scheduler::mix_plan() {
  for (const Evicted& evicted : plan_.evicted) mix(kEvicted, evicted.id, evicted.lost_tokens);
  for (const Failed& failed : plan_.failed) mix(kFailed, failed.id, failed.needed_bytes);
  for (const std::int64_t id : plan_.admitted) mix(kAdmitted, id, 0);
  for (const Chunk& chunk : plan_.prefill) mix(kPrefilled, chunk.id, chunk.tokens);
  const bool changed = !plan_.evicted.empty() || !plan_.failed.empty() || !plan_.prefill.empty();
  if (changed) mix(kMemoryHeld, 0, plan_.predicted_bytes);
}

void Scheduler::mix(std::uint64_t what, std::int64_t id, std::int64_t value) {
  for (const std::uint64_t word :
       {static_cast<std::uint64_t>(step_), what, static_cast<std::uint64_t>(id),
        static_cast<std::uint64_t>(value)}) {
    hash_ = scrambled(hash_ + 0x9e3779b97f4a7c15ULL + word);
  }
}

}  // namespace warpgroup
