#include "warpgroup/simulation/recorder.hpp"

#include <new>
#include <stdexcept>
#include <utility>

namespace warpgroup {

const std::vector<std::string>& status_names() {
  static const std::vector<std::string> names{"finished", "rejected", "failed", "aborted"};
  return names;
}

const std::vector<std::string>& event_names() {
  static const std::vector<std::string> names{
      "oom",     "preempt",    "resume",         "reject",        "fail",  "swap-out",
      "swap-in", "admit-less", "smaller-chunks", "back-pressure", "budget"};
  return names;
}

const std::vector<std::string>& step_event_names() {
  static const std::vector<std::string> names{"none", "oom", "preempt", "degrade", "reject"};
  return names;
}

const std::vector<std::string>& step_field_names() {
  static const std::vector<std::string> names{"step",
                                              "steps",
                                              "prefill_tokens",
                                              "prefill_pairs",
                                              "fresh_tokens",
                                              "fresh_pairs",
                                              "prefill_context",
                                              "decode_rows",
                                              "context_tokens",
                                              "longest_context",
                                              "sampled_rows",
                                              "padding_tokens",
                                              "kv_start_bytes",
                                              "kv_bytes",
                                              "predicted_bytes",
                                              "reserved_bytes",
                                              "fragmented_bytes",
                                              "blocked_by",
                                              "waiting",
                                              "running",
                                              "ticket",
                                              "swap_bytes",
                                              "paused_rows",
                                              "plan_ns",
                                              "start_ns",
                                              "duration_ns",
                                              "vram_used_bytes",
                                              "vram_budget_bytes",
                                              "event"};
  return names;
}

void Column::grow() {
  const std::size_t capacity = capacity_ == 0 ? 1024 : 2 * capacity_;
  void* moved = std::realloc(values_.get(), capacity * sizeof(std::int64_t));
  if (moved == nullptr) throw std::bad_alloc();
  static_cast<void>(values_.release());  // realloc has freed the old memory or returned the same
  values_.reset(static_cast<std::int64_t*>(moved));
  capacity_ = capacity;
}

Column::Values Column::release() {
  size_ = capacity_ = 0;
  return std::move(values_);
}

Recorder::Recorder(std::size_t requests, std::int64_t budget)
    : budget_bytes(budget), requests_(requests) {}

Recorder::RequestRow& Recorder::row(std::int64_t request) {
  return requests_.at(static_cast<std::size_t>(request));
}

void Recorder::came(std::int64_t request, std::int64_t arrival_ns) {
  row(request).arrival_ns = arrival_ns;
  row(request).ticket = came_++;
}

void Recorder::rejected(std::int64_t request, std::int64_t now_ns, const std::string& reason) {
  end(request, Status::kRejected, reason);
  event(now_ns, request, Event::kReject, 0);
  mark(StepEvent::kReject);
}

void Recorder::pressed(std::int64_t request, std::int64_t now_ns) {
  event(now_ns, request, Event::kBackPressure, 0);
}

void Recorder::budget_changed(std::int64_t now_ns, std::int64_t ticket, std::int64_t bytes) {
  event(now_ns, ticket, Event::kBudget, bytes);
}

void Recorder::planned(const StepPlan& plan) {
  for (const Degradation step : plan.degraded) {
    const bool less = step == Degradation::kAdmitLess;
    event(plan.plan_ns, -1, less ? Event::kAdmitLess : Event::kSmallerChunks, 0);
    mark(StepEvent::kDegrade);
  }
  for (const Evicted& evicted : plan.evicted) {
    if (evicted.lost_generated > 0) {
      row(evicted.id).first_token_ns = -1;  // the tokens of a failed batch were not delivered
    }
    if (evicted.swapped_bytes > 0) {
      event(plan.plan_ns, evicted.id, Event::kSwapOut, evicted.swapped_bytes);
    } else if (evicted.lost_tokens > 0) {
      event(plan.plan_ns, evicted.id, Event::kPreempt, evicted.freed_bytes);
    } else {
      continue;  // a batch that failed before it computed anything
    }
    row(evicted.id).preemptions += 1;
    row(evicted.id).recomputed_tokens += evicted.lost_tokens;
    mark(StepEvent::kPreempt);
  }
  for (const Failed& failed : plan.failed) {
    const std::string why = failed.alone_in_step ? "out of memory alone" : "outgrew the KV pool";
    end(failed.id, Status::kFailed,
        why + ": needed " + std::to_string(failed.needed_bytes) + " bytes");
    event(plan.plan_ns, failed.id, Event::kFail, failed.needed_bytes);
  }
  for (const Restored& restored : plan.restored) {
    event(plan.plan_ns, restored.id, Event::kSwapIn, restored.bytes);
  }
  for (const std::int64_t request : plan.admitted) {
    if (row(request).admitted_ns < 0) row(request).admitted_ns = plan.plan_ns;
  }
}

void Recorder::ran(const StepPlan& plan, const StepRecord& facts, std::int64_t vram_used_bytes,
                   std::int64_t start_ns, std::int64_t end_ns,
                   const std::vector<std::int64_t>& finished) {
  for (const Joined& joined : plan.joined) {
    if (joined.generated > 1) {
      event(end_ns, joined.id, Event::kResume, 0);
    } else {
      row(joined.id).first_token_ns = end_ns;
    }
  }
  for (const std::int64_t request : finished) {
    row(request).finish_ns = end_ns;
    end(request, Status::kFinished, "");
  }
  last_ = facts;
  step(plan, facts, vram_used_bytes, start_ns, end_ns);
}

void Recorder::ran_out_of_memory(const StepPlan& plan, std::int64_t needed_bytes,
                                 std::int64_t start_ns, std::int64_t end_ns) {
  std::int64_t victim = -1;
  if (!plan.prefill.empty()) {
    victim = plan.prefill.back().id;
  } else if (!plan.decode.empty()) {
    victim = plan.decode.back();
  }
  ++ooms_;
  event(end_ns, victim, Event::kOom, needed_bytes);
  mark(StepEvent::kOom);
  // Memory that was held before is still held; nothing was computed.
  StepRecord facts = last_;
  facts.steps = facts.prefill_tokens = facts.decode_rows = facts.context_tokens = 0;
  facts.prefill_pairs = facts.fresh_tokens = facts.fresh_pairs = 0;
  facts.prefill_context = facts.sampled_rows = facts.longest_context = 0;
  facts.padding_tokens = facts.swap_bytes = facts.paused_rows = 0;
  facts.kv_start_bytes = facts.kv_bytes;
  facts.step = plan.step;
  facts.ticket = plan.ticket;
  facts.predicted_bytes = needed_bytes;
  facts.blocked_by = static_cast<std::int64_t>(plan.blocked_by);
  step(plan, facts, vram_used_, start_ns, end_ns);
}

void Recorder::step(const StepPlan& plan, const StepRecord& f, std::int64_t vram_used_bytes,
                    std::int64_t start_ns, std::int64_t end_ns) {
  vram_used_ = vram_used_bytes;
  const std::array<std::int64_t, kStepFields> values{f.step,
                                                     f.steps,
                                                     f.prefill_tokens,
                                                     f.prefill_pairs,
                                                     f.fresh_tokens,
                                                     f.fresh_pairs,
                                                     f.prefill_context,
                                                     f.decode_rows,
                                                     f.context_tokens,
                                                     f.longest_context,
                                                     f.sampled_rows,
                                                     f.padding_tokens,
                                                     f.kv_start_bytes,
                                                     f.kv_bytes,
                                                     f.predicted_bytes,
                                                     f.reserved_bytes,
                                                     f.fragmented_bytes,
                                                     f.blocked_by,
                                                     f.waiting,
                                                     f.running,
                                                     f.ticket,
                                                     f.swap_bytes,
                                                     f.paused_rows,
                                                     plan.plan_ns,
                                                     start_ns,
                                                     end_ns - start_ns,
                                                     vram_used_bytes,
                                                     budget_bytes,
                                                     static_cast<std::int64_t>(step_event_)};
  for (std::size_t i = 0; i < kStepFields; ++i) steps_[i].push(values[i]);
  step_event_ = StepEvent::kNone;
}

void Recorder::end(std::int64_t request, Status status, const std::string& reason) {
  RequestRow& ended = row(request);
  if (ended.status != Status::kAborted) {
    throw std::logic_error("request " + std::to_string(request) + " ended twice");
  }
  ended.status = status;
  ++ended_;
  if (!reason.empty()) reasons_[request] = reason;
}

void Recorder::event(std::int64_t t_ns, std::int64_t request, Event event, std::int64_t bytes) {
  events_.push_back({t_ns, request, event, bytes});
}

// A row has one event: the most severe of its step. Codes are not in order of severity, so this
// function defines the order.
void Recorder::mark(StepEvent event) {
  const auto gravity = [](StepEvent e) {
    switch (e) {
      case StepEvent::kNone:
        return 0;
      case StepEvent::kDegrade:
        return 1;
      case StepEvent::kReject:
        return 2;
      case StepEvent::kPreempt:
        return 3;
      case StepEvent::kOom:
        return 4;
    }
    return 0;
  };
  if (gravity(event) > gravity(step_event_)) step_event_ = event;
}

}  // namespace warpgroup
