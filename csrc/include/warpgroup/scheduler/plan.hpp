#pragma once

#include <cstdint>
#include <vector>

#include "warpgroup/memory/memory.hpp"

namespace warpgroup {

// Why the first request in the queue was not admitted.
enum class BlockedBy : std::uint8_t {
  kNone,     // no request waits
  kMemory,   // its KV does not fit
  kCount,    // as many requests run as the policy or the engine allows
  kTokens,   // the step's token budget is used up
  kCompute,  // a static batch is running and cannot be joined
};

// The size of a step, padding included: what an executor needs to know.
struct StepWork {
  std::int64_t prefill_tokens = 0;   // prompt positions computed
  std::int64_t prefill_pairs = 0;    // query-key pairs of causal attention over those positions
  std::int64_t fresh_tokens = 0;     // of chunks that begin with their prompt's first token
  std::int64_t fresh_pairs = 0;      // the same chunks' pairs
  std::int64_t prefill_context = 0;  // KV tokens that those chunks attend to, each chunk once
  std::int64_t decode_rows = 0;      // requests that make one token from their cache
  std::int64_t context_tokens = 0;   // KV tokens that they attend to, the new one included
  std::int64_t longest_context = 0;  // of those, what the longest one attends to
  std::int64_t sampled_rows = 0;     // rows that need logits
  std::int64_t padding_tokens = 0;   // positions among all of these that belong to no request
  std::int64_t swap_bytes = 0;       // KV bytes copied to and from the host before the first step

  StepShape shape() const { return {prefill_tokens, decode_rows, sampled_rows}; }
};

struct Chunk {
  std::int64_t id;
  std::int64_t start;   // position of the first token
  std::int64_t tokens;  // how many
};

// A request whose prefill this step completes: from the next step on it decodes.
struct Joined {
  std::int64_t id;
  std::int64_t generated;  // output tokens that it has after this step
};

struct Evicted {
  std::int64_t id;
  std::int64_t lost_tokens;     // tokens whose KV is dropped and must be computed again
  std::int64_t lost_generated;  // output tokens that are dropped too (static batches only)
  std::int64_t freed_bytes;
  std::int64_t swapped_bytes;  // kept in host memory; then nothing is lost
};

// A request whose cache comes back from host memory with this step.
struct Restored {
  std::int64_t id;
  std::int64_t bytes;
};

// What the scheduler gives up first when memory falls short (eviction and rejection come after).
enum class Degradation : std::uint8_t {
  kAdmitLess,      // no request is admitted until one ends
  kSmallerChunks,  // prefill chunks are halved; they grow again as requests end
};

struct Failed {
  std::int64_t id;
  std::int64_t needed_bytes;
  bool alone_in_step;  // true: a step with this request alone ran out of memory; false: it outgrew
                       // the pool
};

// One decision of the scheduler. It holds for `horizon` steps, which are all alike, except that the
// caches of the decode rows grow by one token in each. The executor may run any number of them, at
// least one.
struct StepPlan {
  std::int64_t step = 0;  // index of the first step that it covers
  std::int64_t plan_ns = 0;
  std::int64_t ticket = -1;   // the last request that had been submitted
  std::int64_t horizon = 0;   // 0: nothing to run
  std::int64_t wake_ns = -1;  // with horizon 0: when to plan again at the latest; -1: on an arrival
  std::int64_t predicted_bytes = 0;  // VRAM needed by the first step
  std::int64_t kv_bytes = 0;         // KV bytes held in the first step
  std::int64_t paused_rows = 0;      // requests that could decode but get no token in this step
  StepWork work;
  BlockedBy blocked_by = BlockedBy::kNone;
  std::vector<std::int64_t> admitted;
  std::vector<Evicted> evicted;
  std::vector<Failed> failed;
  std::vector<Restored> restored;
  std::vector<Degradation> degraded;
  std::vector<Chunk> prefill;
  std::vector<Joined> joined;
  std::vector<std::int64_t> decode;
};

// What the core knows about the steps that ran: one row of steps.parquet, without the clock.
struct StepRecord {
  std::int64_t step;
  std::int64_t steps;
  std::int64_t prefill_tokens;
  std::int64_t prefill_pairs;
  std::int64_t fresh_tokens;
  std::int64_t fresh_pairs;
  std::int64_t prefill_context;
  std::int64_t decode_rows;
  std::int64_t context_tokens;
  std::int64_t longest_context;
  std::int64_t sampled_rows;
  std::int64_t padding_tokens;    // over all the steps
  std::int64_t kv_start_bytes;    // held when the first step ran
  std::int64_t kv_bytes;          // held when the last step ran
  std::int64_t predicted_bytes;   // VRAM needed by the last step
  std::int64_t reserved_bytes;    // KV bytes held or promised
  std::int64_t fragmented_bytes;  // KV bytes held but not filled
  std::int64_t blocked_by;
  std::int64_t waiting;
  std::int64_t running;
  std::int64_t ticket;
  std::int64_t swap_bytes;
  std::int64_t paused_rows;
};

}  // namespace warpgroup
