#pragma once

#include <cstdint>
#include <limits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "warpgroup/memory/block_manager.hpp"
#include "warpgroup/scheduler/plan.hpp"
#include "warpgroup/staging/step_slab.hpp"

namespace warpgroup {

// The size of a step, before its shape is chosen.
struct StepExtent {
  std::int64_t rows = 0;
  std::int64_t chunks = 0;  // chunks that continue a cache
  std::int64_t chunk_tokens = 0;
  std::int64_t longest_chunk = 0;
  std::int64_t cached_tokens = 0;     // tokens that all chunks attend to
  std::int64_t longest_cached = 0;    // tokens that one chunk attends to, at most
  std::vector<std::int64_t> prompts;  // lengths of whole prompts, padding included, ascending
  std::int64_t prompt_tokens = 0;
  std::int64_t sampled = 0;
  std::int64_t longest = 0;  // longest cache that a row, chunk or prompt attends to
  bool padded = false;
};

// The tokens that a step samples.
struct StepDraws {
  std::vector<std::int64_t> requests;  // in the order in which the step samples
  std::vector<std::int64_t> places;    // index of each token in the log
  std::vector<std::int64_t> finished;  // requests that generate their last token, by id
};

// The tokens of all requests of a run, end to end in one log. Prompts are written when they arrive.
// The last place of the log takes the tokens that a padded batch samples for ended requests.
struct RequestLog {
  std::int32_t* tokens;
  std::int64_t trash;
  std::vector<std::int64_t> starts;         // by request
  std::vector<std::int64_t> prompt_tokens;  // by request
  std::vector<std::int64_t> ends;           // by request: prompt and the longest output
};

// Turns the scheduler's plans into slabs. It makes no scheduling decision: it keeps the seats
// (batch slots), blocks and generated tokens of requests. For each plan, call in this order:
//
//     apply(plan)            applies evictions, failures, admissions; returns copies to the host
//     prepare(plan)          collects the step's pieces; returns how many blocks are missing
//     hold()                 takes the blocks; returns copies back to the device
//     write(slab, shape)     writes all numbers of the step
//     launched()             counts the step as computed; returns what it samples
class StepBuilder {
 public:
  // `padded`: batches are static, padded to the longest prompt, and held until the last row ends.
  StepBuilder(RequestLog log, BlockManager& block_manager, std::uint64_t seed, bool padded);

  std::vector<BlockCopy> apply(const StepPlan& plan);

  // Returns the number of blocks that are missing beyond the free ones. Takes none.
  std::int64_t prepare(const StepPlan& plan);
  // The same number after the pool was resized.
  std::int64_t missing_blocks() const;
  // Caps the held blocks, even if the pool is larger. Default: no limit.
  void limit_blocks(std::int64_t blocks) { limit_blocks_ = blocks; }
  // Takes the step's blocks. Throws std::logic_error if there are too few.
  std::vector<BlockCopy> hold();
  // Replaces hold() if there are too few blocks: swaps caches back as far as there are blocks.
  std::vector<BlockCopy> restore();

  // The size of the prepared step.
  const StepExtent& extent() const { return extent_; }
  std::int64_t block_tokens() const { return block_manager_.block_tokens(); }
  // The cache length of each row, the new token included.
  std::vector<std::int64_t> row_lengths() const;
  // (first position, tokens) of all pieces, or only of the chunks that continue a cache.
  std::vector<std::pair<int, int>> chunks(bool all) const;
  // `all_continue`: whole prompts are laid out as chunks that continue an empty cache.
  void write(std::int32_t* slab, const SlabShape& shape, bool all_continue) const;

  StepDraws launched();

  // Removes requests that ended. Those of a static batch stay until the whole batch has ended.
  void retire(const std::vector<std::int64_t>& finished);

  // Tokens that a running request has generated.
  std::int64_t generated(std::int64_t request) const;

 private:
  std::int64_t take(std::int64_t request);
  void drop(std::int64_t request, bool lost_generated);
  // Throws std::invalid_argument if the request does not run.
  std::int64_t seat_of(std::int64_t request) const;
  // Tokens whose keys and values the request holds once its cache is swapped back.
  std::int64_t cached(std::int64_t request) const;
  void prepare_padded(const StepPlan& plan);
  void prepare_continuous(const StepPlan& plan);
  void measure();

  struct Want {
    std::int64_t request;
    std::int64_t tokens;
  };

  RequestLog log_;
  BlockManager& block_manager_;
  std::uint64_t seed_;
  bool padded_;
  std::int64_t limit_blocks_ = std::numeric_limits<std::int64_t>::max();

  std::vector<std::int64_t> seat_of_;    // by request; -1: it does not run
  std::vector<std::int64_t> generated_;  // by request, remembered when it is evicted
  std::vector<std::int64_t> seat_request_, seat_tokens_, seat_cached_;
  std::vector<std::int64_t> free_seats_;
  std::vector<std::int64_t> owed_;   // requests whose caches must be swapped back, by id
  std::vector<std::int64_t> batch_;  // requests of the static batch
  std::int64_t batch_tokens_ = 0;    // its padded length

  std::vector<std::int64_t> rows_;  // decoding seats
  std::vector<SlabPiece> pieces_;   // chunks that continue a cache, then whole prompts by length
  std::vector<Want> wants_;         // requests that need blocks, and for how many tokens
  StepExtent extent_;
};

}  // namespace warpgroup
