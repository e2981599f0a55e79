#pragma once

#include <cstdint>
#include <vector>

#include "warpgroup/scheduler/predictor.hpp"

namespace warpgroup {

// What a request holds from the next step on: `tokens` in that step and one more in each later
// one. A prefill counts as if it were complete at once, which errs on the safe side.
struct Course {
  std::int64_t tokens;
  std::int64_t generated;
  std::int64_t max_new_tokens;
  std::int64_t last;  // offset of its predicted last step from the next one, from 0
  const LengthWindow* lengths = nullptr;  // what its output length is believed to follow (skyline)
};

// Blocks for a number of tokens. Forecasts divide all the time, and block sizes are nearly always
// powers of two.
class BlocksFor {
 public:
  explicit BlocksFor(std::int64_t block_tokens)
      : block_(static_cast<std::uint64_t>(block_tokens)),
        shift_((block_ & (block_ - 1)) == 0 ? __builtin_ctzll(block_) : -1) {}
  std::int64_t operator()(std::int64_t tokens) const {
    const std::uint64_t up = static_cast<std::uint64_t>(tokens) + block_ - 1;
    return static_cast<std::int64_t>(shift_ >= 0 ? up >> shift_ : up / block_);
  }

 private:
  std::uint64_t block_;
  int shift_;  // the block's binary logarithm; -1 if it is no power of two
};

// The peak over time of the sum of predicted courses, in KV blocks.
//
// The sum falls only where a request ends and never falls in between, so its peak is just before an
// end: with the courses by decreasing `last`, it is max over j of
//     sum over i <= j of ceil((tokens_i + last_j) / block).
// This is LightLLM's max_j (sum_{i<=j} a_i + j b_j) with a ceiling for each request.
class FuturePeak {
 public:
  explicit FuturePeak(std::int64_t block_tokens)
      : block_(block_tokens), blocks_for_(block_tokens) {}

  // Takes the courses of the running requests, in any order. O(k (log k + log block)).
  void assign(const std::vector<Course>& courses);
  // Whether the peak stays within `blocks` with one more course. O(k).
  bool fits(const Course& course, std::int64_t blocks) const;
  // Adds a course that was admitted. O(k).
  void add(const Course& course);

 private:
  std::int64_t sum_of_blocks(std::size_t count, std::int64_t offset) const;
  std::size_t outliving(std::int64_t last) const;

  std::int64_t block_;
  BlocksFor blocks_for_;
  std::vector<Course> courses_;       // by decreasing `last`
  std::vector<std::int64_t> needed_;  // blocks in the last step of each
};

// The distribution over time of the blocks held, at checkpoints ahead.
//
// A request with g tokens generated is alive T steps ahead with probability S(g + T) / S(g); it
// then holds ceil((tokens + T) / block) blocks. S is the survival function of the lengths seen,
// with one more length that is believed to be max_new_tokens u^2, u uniform: so nothing is
// impossible, and something is known before anything was seen. Requests are taken as independent,
// so mean and variance of the sum add up. It must stay below mean + z sd (the sum of all blocks
// bounds it too, which is what counts when few run).
//
// Lengths drift and depend on each other, so no z is right for all traffic. It is learned: an
// eviction raises it, and every request that ends lowers it so that, in the long run, the accepted
// share of requests is evicted (adaptive conformal inference, Gibbs and Candes 2021). Everything is
// fixed-point integers: no sampling, and the same bits everywhere.
class Skyline {
 public:
  // overflow_ppm: the share of requests that may be evicted, in millionths.
  Skyline(std::int64_t block_tokens, std::int64_t overflow_ppm);

  // Starts anew with nobody running.
  void reset();
  // O(checkpoints) each.
  void add(const Course& course);
  bool fits(const Course& course, std::int64_t blocks) const;
  // By how many blocks the expected sum exceeds this many, at its worst; 0 if it does not.
  std::int64_t excess(std::int64_t blocks) const;

  void learn_from_eviction();
  void learn_from_end();

 private:
  struct Checkpoint {
    std::int64_t offset;
    std::int64_t all = 0;       // blocks if everybody is alive
    std::int64_t mean = 0;      // of the sum, in 2^-16 blocks
    std::int64_t variance = 0;  // of the sum, in 2^-16 blocks^2
  };
  struct Share {
    std::int64_t blocks;
    std::int64_t alive;  // probability in 2^-16
  };
  class Survival;
  Share share(const Course& course, std::int64_t offset, const Survival& survival) const;
  bool within(const Checkpoint& sum, std::int64_t blocks) const;
  static void include(Checkpoint& sum, const Share& share);

  BlocksFor blocks_for_;
  std::int64_t z_;       // in 2^-20
  std::int64_t lowers_;  // what an end takes from it
  std::vector<Checkpoint> checkpoints_;
};

}  // namespace warpgroup
