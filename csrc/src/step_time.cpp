#include "warpgroup/step_time.hpp"

#include <algorithm>

namespace warpgroup {

// The products of a step share one pass over the weights, and do not depend on the caches; the KV
// read grows with them.
Femtoseconds RooflineStepTime::cumulative(const StepWork& work, std::int64_t steps) const {
  const Femtoseconds products =
      Femtoseconds{work.prefill_tokens + work.decode_rows} * rates_.token_fs +
      Femtoseconds{work.sampled_rows} * rates_.sample_fs;
  const Femtoseconds each = std::max<Femtoseconds>(rates_.weights_fs, products) +
                            Femtoseconds{work.prefill_pairs} * rates_.pair_fs +
                            Femtoseconds{work.prefill_context} * rates_.context_fs +
                            rates_.overhead_fs;
  const Femtoseconds context = Femtoseconds{steps} * work.context_tokens +
                               Femtoseconds{work.decode_rows} * steps * (steps - 1) / 2;
  const Femtoseconds copies = steps > 0 ? Femtoseconds{work.swap_bytes} * rates_.swap_fs : 0;
  return steps * each + context * rates_.context_fs + copies;
}

}  // namespace warpgroup
