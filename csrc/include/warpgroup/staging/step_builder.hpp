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

// How large a step is, before it is known which shape it is laid out in.
struct StepExtent {
  std::int64_t rows = 0;
  std::int64_t chunks = 0;  // that continue a cache
  std::int64_t chunk_tokens = 0;
  std::int64_t longest_chunk = 0;
  std::int64_t cached_tokens = 0;     // that the chunks attend to, all together
  std::int64_t longest_cached = 0;    // by one of them
  std::vector<std::int64_t> prompts;  // lengths of whole prompts, padding included, ascending
  std::int64_t prompt_tokens = 0;
  std::int64_t sampled = 0;
  std::int64_t longest = 0;  // cache that any row, chunk or prompt sees
  bool padded = false;
};

// What a step draws, and for whom.
struct StepDraws {
  std::vector<std::int64_t> requests;  // in the order in which the step draws
  std::vector<std::int64_t> places;    // in the log, of each token
  std::vector<std::int64_t> finished;  // who made their last token, by id
};

// The requests of a run: their tokens, end to end in one log. Prompts are written there when they
// come; the log's last place is for tokens that nobody asked for.
struct RequestLog {
  std::int32_t* tokens;
  std::int64_t trash;
  std::vector<std::int64_t> starts;         // by request
  std::vector<std::int64_t> prompt_tokens;  // by request
  std::vector<std::int64_t> ends;           // by request: prompt and the longest output
};

// Turns the scheduler's plans into slabs. It decides nothing: it knows where requests sit, which
// blocks they hold, what they have said, and what that makes of a plan.
//
//     apply(plan)            evictions, failures, admissions; caches to copy to the host
//     prepare(plan)          what the step takes part of, and how many blocks it needs
//     hold()                 those blocks; caches to copy back
//     write(slab, shape)     every number of the step
//     launched()             it is under way: counts it, and says what it draws
class StepBuilder {
 public:
  // `padded`: batches are static: padded to the longest prompt, held until the last row has ended.
  StepBuilder(RequestLog log, BlockManager& block_manager, std::uint64_t seed, bool padded);

  std::vector<BlockCopy> apply(const StepPlan& plan);

  // Blocks that are missing beyond the free ones; nothing is taken.
  std::int64_t prepare(const StepPlan& plan);
  // The same, once the pool has another size.
  std::int64_t missing_blocks() const;
  // No more blocks are held than this, though the pool may still have more. Default: no limit.
  void limit_blocks(std::int64_t blocks) { limit_blocks_ = blocks; }
  // Takes them. Throws std::logic_error if they are not there.
  std::vector<BlockCopy> hold();
  // In place of hold(), where the blocks are not to be had: what is owed comes back as far as there
  // are blocks for it.
  std::vector<BlockCopy> restore();

  // Of the step that was prepared.
  const StepExtent& extent() const { return extent_; }
  std::int64_t block_tokens() const { return block_manager_.block_tokens(); }
  // Caches that its rows attend to, the new token included.
  std::vector<std::int64_t> row_lengths() const;
  // (first position, tokens) of its pieces: of all, or of those that continue a cache.
  std::vector<std::pair<int, int>> chunks(bool all) const;
  // `all_continue`: whole prompts are laid out as chunks that continue an empty cache.
  void write(std::int32_t* slab, const SlabShape& shape, bool all_continue) const;

  StepDraws launched();

  // Requests that ended leave; those of a static batch stay until all of it has.
  void retire(const std::vector<std::int64_t>& finished);

  // Tokens that a running request has generated.
  std::int64_t generated(std::int64_t request) const;

 private:
  std::int64_t take(std::int64_t request);
  void drop(std::int64_t request, bool lost_generated);
  // Throws std::invalid_argument if the request does not run.
  std::int64_t seat_of(std::int64_t request) const;
  // Tokens whose keys and values it holds once what is owed to it is back.
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
  std::vector<std::int64_t> owed_;   // requests whose caches are to come back, by id
  std::vector<std::int64_t> batch_;  // requests of the static batch
  std::int64_t batch_tokens_ = 0;    // its padded length

  std::vector<std::int64_t> rows_;  // seats that decode
  std::vector<SlabPiece> pieces_;   // chunks that continue a cache, then whole prompts by length
  std::vector<Want> wants_;         // for how many tokens requests are to hold blocks
  StepExtent extent_;
};

}  // namespace warpgroup
