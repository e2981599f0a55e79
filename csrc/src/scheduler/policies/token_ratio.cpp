#include <algorithm>

#include "definition.hpp"

namespace warpgroup::policies {

Definition token_ratio() {
  return {
      {"token-ratio",
       "SGLang's new_token_ratio: a request is admitted if its prompt and "
       "min(max_new_tokens, 4096) fit beside ratio x what the running requests may still "
       "generate. The ratio starts at 0.7 x conservativeness and decays to 0.14 of that over "
       "600 decode steps. When memory runs out, the requests with the least output are evicted, "
       "and the ratio is estimated again from those that run. Prompts are prefilled in "
       "separate steps.",
       "SGLang",
       "prompt + min(max_new_tokens, 4096) + ratio x sum over running of "
       "min(max_new_tokens - generated, 4096) < free tokens",
       {{"conservativeness", 1, 0.1, 10, "factor of the ratio that estimates start from"}}},
      [](Policy& policy, const Values& values) {
        policy.admission = Admission::kTokenRatio;
        policy.mixing = Mixing::kPrefillFirst;
        policy.victim = Victim::kLeastOutput;
        policy.ratio_ppm =
            std::min<std::int64_t>(millionths(0.7 * values.at("conservativeness")), 1'000'000);
      }};
}

}  // namespace warpgroup::policies
