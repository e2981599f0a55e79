#include "definition.hpp"

namespace warpgroup::policies {

Definition token_budget() {
  return {{"token-budget",
           "Text Generation Inference: in arrival order, a request takes the blocks of prompt + "
           "max_new_tokens - 1 at admission. The first request that does not fit blocks all "
           "requests behind it. New prompts are prefilled in separate steps. Never evicts.",
           "Text Generation Inference",
           "held + blocks(prompt + max_new_tokens - 1) <= pool",
           {}},
          [](Policy& policy, const Values&) {
            reserve(policy, Promise::kMaxNew);
            policy.holds_promise = true;
            policy.mixing = Mixing::kPrefillFirst;
          }};
}

}  // namespace warpgroup::policies
