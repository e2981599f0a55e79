#include "definition.hpp"

namespace warpgroup::policies {

Definition sarathi() {
  return {{"sarathi",
           "Sarathi-Serve (OSDI 2024): every step takes all decodes first, then running prefills, "
           "then new ones, in chunks that keep the step within `chunk` tokens. A prompt must fit "
           "into the free blocks above a watermark. When a block is missing, the newest request is "
           "evicted and computed again.",
           "Sarathi-Serve",
           "used + blocks(prompt) + watermark x pool <= pool",
           {{"chunk", 512, 16, 1e6, "tokens of a step", true},
            {"watermark", 0.01, 0, 0.5, "share of the KV pool that new requests may not take"}}},
          [](Policy& policy, const Values& values) {
            policy.admission = Admission::kPromptFits;
            policy.mixing = Mixing::kDecodeFirst;
            policy.step_tokens = whole(values.at("chunk"));
            policy.watermark_ppm = millionths(values.at("watermark"));
          }};
}

}  // namespace warpgroup::policies
