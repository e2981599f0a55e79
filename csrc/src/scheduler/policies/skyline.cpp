// WarpGroup's own policy, and its upper bound.

#include "definition.hpp"

namespace warpgroup::policies {

namespace {

PolicyParameter order_parameter() {
  return {"order", 0, 0, 2, "0: arrival, 1: longest first, 2: smallest first", true};
}

PolicyParameter chunk_parameter() {
  return {"chunk",
          128,
          0,
          1e6,
          "prefill tokens of a step while more than half the pool is used; 0: no limit",
          true};
}

PolicyParameter swap_parameter() {
  return {"swap_gib", 4, 0, 4096,
          "pinned host memory for evicted caches, in GiB; 0: always recompute"};
}

void configure(Policy& policy, const Values& values) {
  constexpr Order kOrders[] = {Order::kArrival, Order::kLongestFirst, Order::kSmallestFirst};
  policy.order = kOrders[whole(values.at("order"))];
  policy.victim = Victim::kCheapest;
  policy.chunk_tokens = whole(values.at("chunk"));
  policy.swap_bytes = bytes_of_gib(values.at("swap_gib"));
  allow_overtaking(policy, values);
}

}  // namespace

Definition skyline() {
  return {{"skyline",
           "WarpGroup's own policy. It predicts, for every moment ahead, the mean and the standard "
           "deviation of the blocks that all running requests will hold, from the lengths seen "
           "after prompts of similar length. A request is admitted if mean + z standard deviations "
           "stays within the pool. z is learned, so that at most `margin` of the requests are "
           "evicted. A request that does not fit may be overtaken until it has aged. While memory "
           "is short, prompts are prefilled in small chunks. When a prediction fails, the request "
           "that is cheapest to restore is evicted. Its cache is swapped to host memory if that is "
           "faster than computing it again.",
           "",
           "mean(t) + z x sd(t) <= pool at 18 moments t, from 0 to 28,672 steps ahead",
           {{"margin", 0.004, 1e-6, 0.5, "accepted share of requests that are evicted"},
            order_parameter(),
            age_parameter(),
            window_parameter(),
            chunk_parameter(),
            swap_parameter(),
            {"eager", 0, 0, 1,
             "1: a request is admitted as soon as its prompt fits. For hosts to which a cache is "
             "swapped in one or two steps: there an eviction costs less than unused memory",
             true}}},
          [](Policy& policy, const Values& values) {
            configure(policy, values);
            policy.admission =
                values.at("eager") > 0 ? Admission::kPromptFits : Admission::kSkyline;
            policy.overflow_ppm = millionths(values.at("margin"));
          }};
}

Definition oracle() {
  return {{"oracle",
           "skyline with true output lengths: the memory of all running requests is known at every "
           "moment, and its peak must fit. It is an upper bound; no real engine can run it.",
           "",
           "max over t of sum over alive(t) of blocks(tokens + t) <= pool",
           {order_parameter(), age_parameter(), window_parameter(), chunk_parameter(),
            swap_parameter()}},
          [](Policy& policy, const Values& values) {
            configure(policy, values);
            policy.admission = Admission::kFuturePeak;
            policy.sees_lengths = true;
          }};
}

}  // namespace warpgroup::policies
