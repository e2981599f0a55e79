#include "definition.hpp"

namespace warpgroup::policies {

Definition smallest_first() {
  return {{"smallest-first",
           "The waiting request with the smallest prompt + max_new_tokens is admitted first, while "
           "its prompt fits into the free KV blocks. A request that has waited age_s goes before "
           "all others. When a block is missing, the newest request is evicted and computed again.",
           "",
           "used + blocks(prompt) + watermark x pool <= pool",
           {{"watermark", 0.01, 0, 0.5, "share of the KV pool that new requests may not take"},
            age_parameter()}},
          [](Policy& policy, const Values& values) {
            policy.admission = Admission::kPromptFits;
            policy.order = Order::kSmallestFirst;
            policy.watermark_ppm = millionths(values.at("watermark"));
            policy.age_ns = nanoseconds(values.at("age_s"));
          }};
}

}  // namespace warpgroup::policies
