#include "warpgroup/simulation/simulated_engine.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace warpgroup {

Endings::Endings(std::vector<std::int64_t> output_tokens)
    : output_tokens_(std::move(output_tokens)),
      life_(output_tokens_.size(), 0),
      decodes_(output_tokens_.size(), false) {}

bool Endings::is_void(const End& end) const {
  return life_[static_cast<std::size_t>(end.request)] != end.life;
}

void Endings::evicted(std::int64_t request) {
  const auto index = static_cast<std::size_t>(request);
  ++life_[index];
  if (decodes_[index]) --decoding_;
  decodes_[index] = false;
}

void Endings::count(std::int64_t request, std::int64_t generated) {
  const auto index = static_cast<std::size_t>(request);
  ends_.push({clock_ + output_tokens_[index] - generated, request, life_[index]});
  decodes_[index] = true;
  ++decoding_;
}

// In a step in which some requests decode and others pause, the clock advances. The ends of the
// paused requests are moved by as much.
void Endings::delay_paused_requests(const StepPlan& plan) {
  std::vector<std::int64_t> moving = plan.decode;
  std::sort(moving.begin(), moving.end());
  std::vector<End> ends;
  for (; !ends_.empty(); ends_.pop()) {
    End end = ends_.top();
    if (is_void(end)) continue;
    if (!std::binary_search(moving.begin(), moving.end(), end.request)) ++end.at;
    ends.push_back(end);
  }
  ends_ = decltype(ends_)(std::greater<End>(), std::move(ends));
}

std::int64_t Endings::steps_until_next(const StepPlan& plan) {
  if (plan.decode.empty()) return 1;
  if (static_cast<std::int64_t>(plan.decode.size()) < decoding_) delay_paused_requests(plan);
  while (!ends_.empty() && is_void(ends_.top())) ends_.pop();
  return ends_.empty() ? plan.horizon : std::min(plan.horizon, ends_.top().at - clock_);
}

std::vector<std::int64_t> Endings::passed(const StepPlan& plan, std::int64_t steps) {
  if (!plan.decode.empty()) clock_ += steps;
  for (const Joined& joined : plan.joined) count(joined.id, joined.generated + steps - 1);
  std::vector<std::int64_t> ended;
  while (!ends_.empty() && ends_.top().at == clock_) {
    const End end = ends_.top();
    ends_.pop();
    if (is_void(end)) continue;
    ended.push_back(end.request);
    decodes_[static_cast<std::size_t>(end.request)] = false;
    --decoding_;
  }
  return ended;
}

SimulatedEngine::SimulatedEngine(SimulatedTrace trace, Scheduler& scheduler,
                                 const StepTime& step_time, Recorder& recorder, bool macro_steps,
                                 bool stop_on_oom, bool plan_ahead)
    : trace_(std::move(trace)),
      scheduler_(scheduler),
      step_time_(step_time),
      recorder_(recorder),
      endings_(trace_.output_tokens),
      macro_steps_(macro_steps),
      stop_on_oom_(stop_on_oom),
      plan_ahead_(plan_ahead) {}

void SimulatedEngine::advance(std::int64_t until_ns, std::int64_t plans) {
  for (; plans > 0 && !done_; --plans) {
    if (until_ns >= 0 && now_ns() >= until_ns) return;
    run_one_plan(until_ns);
  }
}

void SimulatedEngine::run_one_plan(std::int64_t until_ns) {
  if (!plan_ahead_) planned_fs_ = clock_fs_;
  submit_arrived();
  const StepPlan& plan = plan_at(static_cast<std::int64_t>(planned_fs_ / kFsPerNs));
  if (plan.horizon == 0) {
    if (planned_fs_ < clock_fs_) {  // the last step has ended, and more requests may have arrived
      planned_fs_ = clock_fs_;
      return;
    }
    const std::int64_t wake_ns = next_event_ns(plan, until_ns);
    done_ = wake_ns < 0;
    if (done_ && (scheduler_.waiting() > 0 || trace_.arrivals.left() > 0)) {
      throw std::logic_error("requests wait, but none runs and no arrival is known");
    }
    // A request that waited for one that this plan failed arrives now, so not before the clock.
    if (!done_) planned_fs_ = clock_fs_ = std::max(clock_fs_, Femtoseconds{wake_ns} * kFsPerNs);
  } else if (plan.predicted_bytes > recorder_.budget_bytes) {
    run_out_of_memory(plan);
  } else {
    run_steps(plan, until_ns);
  }
}

const StepPlan& SimulatedEngine::plan_at(std::int64_t now_ns) {
  const StepPlan& plan = scheduler_.plan(now_ns);
  for (const Evicted& evicted : plan.evicted) endings_.evicted(evicted.id);
  for (const Failed& failed : plan.failed) {
    endings_.evicted(failed.id);
    trace_.arrivals.ended(failed.id, now_ns);
  }
  recorder_.planned(plan);
  return plan;
}

void SimulatedEngine::submit_arrived() {
  const auto now = static_cast<std::int64_t>(planned_fs_ / kFsPerNs);
  for (;;) {
    const std::int64_t next_ns = trace_.arrivals.next_ns();
    if (next_ns < 0 || next_ns > now) return;
    const std::int64_t request = trace_.arrivals.next();
    trace_.arrivals.pop();
    submit(request, now);
  }
}

void SimulatedEngine::submit(std::int64_t request, std::int64_t now_ns) {
  const auto row = static_cast<std::size_t>(request);
  const std::int64_t arrival_ns = trace_.arrivals.arrival_ns(request);
  const Submission submission =
      scheduler_.submit({request, arrival_ns, trace_.prompt_tokens[row], trace_.max_new_tokens,
                         trace_.output_tokens[row]});
  ++submitted_;
  recorder_.came(request, arrival_ns);
  if (!submission.accepted) {
    recorder_.rejected(request, now_ns, submission.reason);
    trace_.arrivals.ended(request, now_ns);
  } else if (submission.pressed) {
    recorder_.pressed(request, now_ns);
  }
}

void SimulatedEngine::follow_budget(std::int64_t now_ns, std::int64_t budget_bytes) {
  clock_fs_ = Femtoseconds{now_ns} * kFsPerNs;
  set_budget(budget_bytes, true);
}

bool SimulatedEngine::follow(const RecordedStep& step) {
  const StepPlan& plan = plan_at(step.plan_ns);
  clock_fs_ = Femtoseconds{step.end_ns} * kFsPerNs;
  if (plan.horizon == 0) return false;
  if (step.needed_bytes > 0) {
    recorder_.ran_out_of_memory(plan, step.needed_bytes, step.start_ns, step.end_ns);
    scheduler_.commit_oom();
    return true;
  }
  endings_.steps_until_next(plan);
  const std::vector<std::int64_t> finished = endings_.passed(plan, 1);
  const StepRecord facts = scheduler_.commit(1, finished);
  recorder_.ran(plan, facts, facts.predicted_bytes, step.start_ns, step.end_ns, finished);
  return true;
}

void SimulatedEngine::follow_end() {
  plan_at(now_ns());
  done_ = true;
}

// -1: no event is known.
std::int64_t SimulatedEngine::next_event_ns(const StepPlan& plan, std::int64_t until_ns) const {
  std::int64_t next = -1;
  const auto consider = [&next](std::int64_t t) { next = next < 0 ? t : std::min(next, t); };
  if (trace_.arrivals.next_ns() >= 0) consider(trace_.arrivals.next_ns());
  if (plan.wake_ns >= 0) consider(plan.wake_ns);
  if (until_ns >= 0) consider(until_ns);
  return next;
}

// The allocation fails before anything is computed, so it costs as much as a step without work.
void SimulatedEngine::run_out_of_memory(const StepPlan& plan) {
  const std::int64_t begun_ns = now_ns();
  clock_fs_ += step_time_.cumulative(StepWork{}, 1);
  planned_fs_ = clock_fs_;
  recorder_.ran_out_of_memory(plan, plan.predicted_bytes, begun_ns, now_ns());
  scheduler_.commit_oom();
  done_ = stop_on_oom_;
}

// Runs as many equal steps of the plan as possible: up to the next end of a request, the step in
// which a request arrives, or the caller's time.
void SimulatedEngine::run_steps(const StepPlan& plan, std::int64_t until_ns) {
  std::int64_t steps = endings_.steps_until_next(plan);
  // A step that needs more than the device has runs out of memory; the scheduler cannot foresee it.
  const bool deceived = recorder_.budget_bytes < scheduler_.memory().budget_bytes();
  if (!macro_steps_ || deceived) steps = 1;
  if (steps > 1 && trace_.arrivals.next_ns() >= 0) {
    steps = steps_until_seen(plan, steps, trace_.arrivals.next_ns());
  }
  if (steps > 1 && until_ns >= 0) steps = steps_before(plan, steps, until_ns);
  const std::int64_t begun_ns = now_ns();
  planned_fs_ = clock_fs_;
  if (plan_ahead_ && steps > 1) planned_fs_ += step_time_.cumulative(plan.work, steps - 1);
  clock_fs_ += step_time_.cumulative(plan.work, steps);
  const std::vector<std::int64_t> finished = endings_.passed(plan, steps);
  const StepRecord facts = scheduler_.commit(steps, finished);
  recorder_.ran(plan, facts, facts.predicted_bytes, begun_ns, now_ns(), finished);
  for (const std::int64_t request : finished) trace_.arrivals.ended(request, now_ns());
}

// The number of steps before the first step whose plan sees an arrival at that time.
std::int64_t SimulatedEngine::steps_until_seen(const StepPlan& plan, std::int64_t steps,
                                               std::int64_t until_ns) const {
  if (!plan_ahead_) return steps_before(plan, steps, until_ns);
  if (Femtoseconds{until_ns} * kFsPerNs <= clock_fs_) return 1;
  return std::min(steps, steps_before(plan, steps, until_ns) + 1);
}

// The smallest number of steps that reaches the time, at most `steps`.
std::int64_t SimulatedEngine::steps_before(const StepPlan& plan, std::int64_t steps,
                                           std::int64_t until_ns) const {
  const Femtoseconds left = Femtoseconds{until_ns} * kFsPerNs - clock_fs_;
  std::int64_t low = 1;
  std::int64_t high = steps;
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (step_time_.cumulative(plan.work, middle) >= left) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

void SimulatedEngine::set_budget(std::int64_t budget_bytes, bool announced) {
  if (announced) {
    scheduler_.set_budget(budget_bytes);
    recorder_.budget_changed(now_ns(), submitted_ - 1, budget_bytes);
  }
  recorder_.budget_bytes = budget_bytes;
}

}  // namespace warpgroup
