#include "definition.hpp"

namespace warpgroup::policies {

Definition no_evict() {
  return {{"no-evict",
           "TensorRT-LLM's GUARANTEED_NO_EVICT: in arrival order, a request is admitted if the "
           "blocks of prompt + max_new_tokens - 1 fit beside those that the running requests have "
           "reserved. Blocks are taken only as they are filled. Never evicts.",
           "TensorRT-LLM",
           "reserved + blocks(prompt + max_new_tokens - 1) <= pool",
           {}},
          [](Policy& policy, const Values&) { reserve(policy, Promise::kMaxNew); }};
}

}  // namespace warpgroup::policies
