#include "definition.hpp"

namespace warpgroup::policies {

Definition count_continuous() {
  return {
      {"count-continuous",
       "Iteration-level batching, as in Orca but without its reservation. Requests join and "
       "leave at every step, while fewer than n run. Admission ignores memory: when a step "
       "runs out of memory, the newest request is evicted and computed again later.",
       "",
       "running < n",
       {count_parameter(),
        {"barrier", 0, 0, 1,
         "1: no request joins a batch that already runs (static batches without padding)", true}}},
      [](Policy& policy, const Values& values) {
        policy.max_requests = whole(values.at("n"));
        policy.barrier = values.at("barrier") > 0;
      }};
}

}  // namespace warpgroup::policies
