#include "definition.hpp"

namespace warpgroup::policies {

Definition paged() {
  return {{"paged",
           "vLLM V1: running requests first, then waiting ones in arrival order while the whole "
           "prompt fits into free KV blocks. No memory is reserved for outputs. When a block is "
           "missing, the newest request is evicted and computed again, and no request is admitted "
           "in that step.",
           "vLLM V1",
           "used + blocks(prompt) + watermark x pool <= pool",
           {{"watermark", 0, 0, 0.5, "share of the KV pool that new requests may not take"}}},
          [](Policy& policy, const Values& values) {
            policy.admission = Admission::kPromptFits;
            policy.watermark_ppm = millionths(values.at("watermark"));
          }};
}

}  // namespace warpgroup::policies
