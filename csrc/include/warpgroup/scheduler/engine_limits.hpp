#pragma once

#include <cstdint>

namespace warpgroup {

// What the engine can do, whatever the policy.
struct EngineLimits {
  std::int64_t max_seqs;              // requests that may run at once
  std::int64_t step_tokens;           // tokens that one step may compute (not in padded batches)
  std::int64_t max_model_tokens = 0;  // longest sequence accepted; 0: each request's own limit
  std::int64_t max_wait_ns = 0;       // a request that would wait longer is rejected; 0: never
  std::int64_t swap_bytes_s = 0;      // copy rate to host memory; 0: there is no swapping
  std::int64_t prefill_tokens_s = 0;  // rate at which a lost cache is computed again
};

}  // namespace warpgroup
