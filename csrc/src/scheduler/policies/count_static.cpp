#include "definition.hpp"

namespace warpgroup::policies {

Definition count_static() {
  return {
      {"count-static",
       "The classic baseline (FasterTransformer, or model.generate in a loop). It waits for n "
       "requests or for a timeout, pads every prompt to the longest one, and runs the batch "
       "until its last request ends. Requests that have ended keep their memory and are still "
       "computed. Admission ignores memory: a batch that runs out of memory is split in two "
       "and started again.",
       "",
       "no request runs, and (waiting >= n or the oldest has waited timeout_s)",
       {count_parameter(),
        {"timeout_s", 1, 0, 86'400, "seconds that an incomplete batch waits for more requests"}}},
      [](Policy& policy, const Values& values) {
        policy.batching = Batching::kPadded;
        policy.max_requests = whole(values.at("n"));
        policy.timeout_ns = nanoseconds(values.at("timeout_s"));
      }};
}

}  // namespace warpgroup::policies
