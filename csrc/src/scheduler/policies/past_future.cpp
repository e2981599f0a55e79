#include "definition.hpp"

namespace warpgroup::policies {

Definition past_future() {
  return {
      {"past-future",
       "LightLLM's Past-Future (ASPLOS 2025), exact to the block: in arrival order, a request is "
       "admitted while the predicted memory of all running requests, summed at each moment, "
       "peaks below 95 % of the pool. The predicted output is the conditional median of the "
       "lengths seen so far; the original draws a random length. When a block is missing, the "
       "newest request is evicted and computed again.",
       "LightLLM",
       "max over t of sum over alive(t) of blocks(tokens + t) <= (1 - reserve) x pool",
       {{"margin", 0.5, 0, 1, "probability that a request exceeds its predicted output"},
        {"reserve", 0.05, 0, 0.5, "share of the KV pool that predictions may not fill"}}},
      [](Policy& policy, const Values& values) {
        policy.admission = Admission::kFuturePeak;
        policy.overflow_ppm = millionths(values.at("margin"));
        policy.watermark_ppm = millionths(values.at("reserve"));
      }};
}

}  // namespace warpgroup::policies
