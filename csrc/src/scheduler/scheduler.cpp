#include "warpgroup/scheduler/scheduler.hpp"

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <utility>

namespace warpgroup {

namespace {

[[noreturn]] void refuse(std::int64_t id, const std::string& why) {
  throw std::invalid_argument("request " + std::to_string(id) + why);
}

void require_at_most(std::int64_t most, const Request& request, const char* field,
                     std::int64_t value) {
  if (value <= most) return;
  refuse(request.id, std::string(": ") + field + " is " + std::to_string(value) +
                         ", expected at most " + std::to_string(most));
}

void require_limits(const Request& request) {
  if (request.prompt_tokens < 1 || request.max_new_tokens < 1) {
    refuse(request.id, ": prompt_tokens and max_new_tokens must be at least 1");
  }
  require_at_most(Request::kMostTokens, request, "prompt_tokens", request.prompt_tokens);
  require_at_most(Request::kMostTokens, request, "max_new_tokens", request.max_new_tokens);
  require_at_most(Request::kMostTokens, request, "output_tokens", request.output_tokens);
  require_at_most(Request::kLatestNs, request, "arrival_ns", request.arrival_ns);
}

// Whether `require_limits` has anything to look at. A length below 1 or above its limit sets a high
// bit of the union, so that a usual request passes with two comparisons.
bool may_be_out_of_limits(const Request& request) {
  const auto lengths = static_cast<std::uint64_t>(request.prompt_tokens - 1) |
                       static_cast<std::uint64_t>(request.max_new_tokens - 1) |
                       static_cast<std::uint64_t>(request.output_tokens);
  return lengths >= static_cast<std::uint64_t>(Request::kMostTokens) ||
         request.arrival_ns > Request::kLatestNs;
}

}  // namespace

Scheduler::Scheduler(Policy policy, MemoryModel memory, EngineLimits limits)
    : state_(std::move(policy), std::move(memory), limits), batcher_(make_batcher(state_)) {
  check(state_.policy);
  if (limits.max_seqs < 1) {
    throw std::invalid_argument("max_seqs is " + std::to_string(limits.max_seqs) +
                                ", expected at least 1");
  }
  if (!state_.policy.is_padded() && limits.step_tokens < state_.max_running()) {
    throw std::invalid_argument("step_tokens is " + std::to_string(limits.step_tokens) +
                                ", expected at least one for each of " +
                                std::to_string(state_.max_running()) + " running requests");
  }
}

Submission Scheduler::submit(const Request& request) {
  if (may_be_out_of_limits(request)) require_limits(request);
  if (state_.policy.sees_lengths && request.output_tokens < 1) {
    refuse(request.id, ": policy '" + state_.policy.id + "' needs its true output length");
  }
  if (state_.sequences.count(request.id) > 0) refuse(request.id, " is here already");
  const std::int64_t ticket = submitted_++;
  const std::int64_t wait_ns = state_.wait_estimate.expected_ns(request.arrival_ns, waiting());
  if (std::string reason = batcher_->why_never_fits(request); !reason.empty()) {
    return {false, std::move(reason), wait_ns, false};
  }
  const std::int64_t allowed_ns = state_.limits.max_wait_ns;
  if (allowed_ns > 0 && wait_ns > allowed_ns) {
    return {false,
            "queue full: " + std::to_string(waiting()) + " requests wait, it would wait " +
                std::to_string(wait_ns / 1'000'000) + " ms, the limit is " +
                std::to_string(allowed_ns / 1'000'000),
            wait_ns, true};
  }
  Sequence& sequence =
      state_.sequences.try_emplace(request.id, Sequence{request, ticket, request.arrival_ns})
          .first->second;
  if (!state_.policy.sees_lengths) sequence.request.output_tokens = 0;
  state_.waiting.push_back(&sequence);
  batcher_->queue_changed();
  return {true, "", wait_ns, allowed_ns > 0 && 2 * wait_ns > allowed_ns};
}

const StepPlan& Scheduler::plan(std::int64_t now_ns) {
  if (outstanding_) throw std::logic_error("plan() was called before the last plan's commit");
  StepPlan& plan = state_.plan;
  OomEffects& effects = state_.oom_effects;
  plan = StepPlan{};
  plan.step = state_.step;
  plan.plan_ns = now_ns;
  plan.ticket = submitted_ - 1;
  plan.evicted.swap(effects.evicted);  // they leave empty vectors behind
  plan.failed.swap(effects.failed);
  plan.degraded.swap(effects.degraded);
  plan.work.swap_bytes = std::exchange(effects.swap_bytes, 0);
  state_.wait_estimate.begin_plan(now_ns);
  batcher_->plan();
  outstanding_ = plan.horizon > 0;
  state_.wait_estimate.end_plan(!state_.waiting.empty());
  hash_.add(plan);
  return plan;
}

StepRecord Scheduler::commit(std::int64_t steps, const std::vector<std::int64_t>& finished) {
  if (!outstanding_) throw std::logic_error("commit() without a plan");
  if (steps < 1 || steps > state_.plan.horizon) {
    throw std::invalid_argument("commit of " + std::to_string(steps) +
                                " steps, the plan holds for 1 to " +
                                std::to_string(state_.plan.horizon));
  }
  check_finished(finished);
  outstanding_ = false;
  batcher_->advance(steps);
  state_.step += steps;
  const StepRecord facts = record(steps);
  for (const std::int64_t id : finished) finish(id);
  apply_aborts();
  if (!finished.empty()) hash_.add_used_blocks(state_.step, state_.used_blocks);
  return facts;
}

void Scheduler::commit_oom() {
  if (!outstanding_) throw std::logic_error("commit_oom() without a plan");
  outstanding_ = false;
  batcher_->recover_from_oom();
  apply_aborts();
}

void Scheduler::set_budget(std::int64_t budget_bytes) {
  if (outstanding_) throw std::logic_error("set_budget() while a plan is outstanding");
  state_.memory = state_.memory.with_budget(budget_bytes);
  state_.pool_blocks = state_.memory.pool_blocks();
  batcher_->budget_changed();
}

bool Scheduler::abort(std::int64_t id) {
  const auto place = state_.sequences.find(id);
  if (place == state_.sequences.end() || place->second.ended) return false;
  if (std::find(aborts_.begin(), aborts_.end(), id) != aborts_.end()) return false;
  aborts_.push_back(id);
  if (!outstanding_) apply_aborts();
  return true;
}

void Scheduler::apply_aborts() {
  for (const std::int64_t id : std::exchange(aborts_, {})) {
    const auto place = state_.sequences.find(id);
    // It may have made its last token in the step that was running.
    if (place == state_.sequences.end() || place->second.ended) continue;
    Sequence& sequence = place->second;
    const auto row = std::find(state_.running.begin(), state_.running.end(), &sequence);
    if (row != state_.running.end()) {
      batcher_->abort(row);
    } else {
      state_.waiting.remove(&sequence);
      state_.release(sequence);
      batcher_->queue_changed();
    }
  }
}

// Throws before anything changes. The mark in the sequence finds duplicates without an allocation.
void Scheduler::check_finished(const std::vector<std::int64_t>& finished) {
  for (std::size_t i = 0; i < finished.size(); ++i) {
    const auto place = state_.sequences.find(finished[i]);
    const bool made_token = place != state_.sequences.end() && batcher_->makes_token(place->second);
    if (made_token && !place->second.finishes) {
      place->second.finishes = true;
      continue;
    }
    for (std::size_t j = 0; j < i; ++j) state_.sequences.at(finished[j]).finishes = false;
    refuse(finished[i], made_token ? " is named twice among the finished requests"
                                   : " made no token in this step");
  }
}

void Scheduler::finish(std::int64_t id) {
  Sequence& sequence = state_.sequences.at(id);
  const auto row = std::find(state_.running.begin(), state_.running.end(), &sequence);
  hash_.add_finished(state_.step, id, sequence.generated);
  state_.predictor.observe(sequence.request.prompt_tokens, sequence.generated);
  batcher_->finish(row);
}

StepRecord Scheduler::record(std::int64_t steps) const {
  const HeldMemory held = batcher_->held();
  const StepPlan& plan = state_.plan;
  return {plan.step,
          steps,
          plan.work.prefill_tokens,
          plan.work.prefill_pairs,
          plan.work.fresh_tokens,
          plan.work.fresh_pairs,
          plan.work.prefill_context,
          plan.work.decode_rows,
          plan.work.context_tokens,
          plan.work.longest_context,
          plan.work.sampled_rows,
          plan.work.padding_tokens * steps,
          plan.kv_bytes,
          held.kv,
          held.predicted,
          held.reserved,
          held.kv - state_.filled_tokens * state_.memory.geometry().kv_bytes_per_token(),
          static_cast<std::int64_t>(plan.blocked_by),
          waiting(),
          running(),
          plan.ticket,
          plan.work.swap_bytes,
          plan.paused_rows};
}

}  // namespace warpgroup
