#include "warpgroup/scheduler/batching/step_row.hpp"

namespace warpgroup {

namespace {

void add_decode(StepPlan& plan, const Sequence& sequence, std::int64_t end) {
  StepWork& work = plan.work;
  work.decode_rows += 1;
  work.context_tokens += end;
  work.longest_context = std::max(work.longest_context, end);
  work.sampled_rows += 1;
  plan.decode.push_back(sequence.request.id);
}

void add_chunk(StepPlan& plan, const Sequence& sequence, std::int64_t end) {
  StepWork& work = plan.work;
  const std::int64_t tokens = sequence.scheduled;
  const std::int64_t pairs = tokens * sequence.cached + tokens * (tokens + 1) / 2;
  work.prefill_tokens += tokens;
  work.prefill_pairs += pairs;
  if (sequence.cached == 0) {
    work.fresh_tokens += tokens;
    work.fresh_pairs += pairs;
  }
  work.prefill_context += end;
  plan.prefill.push_back({sequence.request.id, sequence.cached, tokens});
  if (end == sequence.tokens()) {
    work.sampled_rows += 1;
    plan.joined.push_back({sequence.request.id, sequence.generated + 1});
  }
}

}  // namespace

void add_row(StepPlan& plan, const Sequence& sequence) {
  const std::int64_t end = sequence.cached + sequence.scheduled;
  if (sequence.prefilled) {
    add_decode(plan, sequence, end);
  } else {
    add_chunk(plan, sequence, end);
  }
}

}  // namespace warpgroup
