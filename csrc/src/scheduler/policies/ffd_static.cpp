#include "definition.hpp"

namespace warpgroup::policies {

Definition ffd_static() {
  return {{"ffd-static",
           "First-fit decreasing bins. The whole queue is sorted by decreasing prompt + "
           "max_new_tokens and packed into bins of the KV pool's size. The bins run one after "
           "another, each until its last request ends. Compared with count-static, there is no "
           "padding, and a batch is limited by memory.",
           "",
           "sum over the bin of blocks(prompt + max_new_tokens - 1) <= pool",
           {}},
          [](Policy& policy, const Values&) {
            policy.batching = Batching::kBins;
            reserve(policy, Promise::kMaxNew);
          }};
}

}  // namespace warpgroup::policies
