// MC-SF and Sorted-F: one admission test, two orders of the queue.

#include "definition.hpp"

namespace warpgroup::policies {

namespace {

constexpr char kFormula[] = "max over t of sum over alive(t) of blocks(tokens + t) <= pool";

PolicyParameter lengths_parameter() {
  return {"lengths", 0, 0, 1, "1: true output lengths are known (an upper bound)", true};
}

void configure(Policy& policy, const Values& values, Order order) {
  policy.admission = Admission::kFuturePeak;
  policy.order = order;
  policy.overflow_ppm = 500'000;
  policy.sees_lengths = values.at("lengths") > 0;
}

}  // namespace

Definition mc_sf() {
  return {{"mc-sf",
           "MC-SF (Jaillet et al., arXiv 2502.07115): shortest output first, while the predicted "
           "memory of all running requests peaks within the pool. It stops at the first request "
           "that does not fit. Without true lengths, all requests of one max_new_tokens have equal "
           "rank and come in arrival order; lengths=1 gives it the true lengths.",
           "",
           kFormula,
           {lengths_parameter()}},
          [](Policy& policy, const Values& values) {
            configure(policy, values, Order::kShortestFirst);
          }};
}

Definition sorted_f() {
  return {{"sorted-f",
           "The greedy form of Sorted-F (arXiv 2508.06133): smallest prompt + output first, which "
           "keeps sum(outputs) / requests^2 of a batch small, while the predicted memory of all "
           "running requests peaks within the pool. lengths=1 gives it the true output lengths.",
           "",
           kFormula,
           {lengths_parameter()}},
          [](Policy& policy, const Values& values) {
            configure(policy, values, Order::kSmallestFirst);
          }};
}

}  // namespace warpgroup::policies
