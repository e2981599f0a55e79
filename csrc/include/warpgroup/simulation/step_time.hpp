#pragma once

#include <cstdint>
#include <vector>

#include "warpgroup/scheduler/plan.hpp"

namespace warpgroup {

// 64 bits hold two hours and a half of femtoseconds; runs are longer.
__extension__ typedef __int128 Femtoseconds;
constexpr std::int64_t kFsPerNs = 1'000'000;

// Predicts how long steps take.
class StepTime {
 public:
  virtual ~StepTime() = default;
  // Duration of `steps` steps together, the first one doing `work` and each later one with one more
  // token in every decoding request's cache. The duration of step j is F(j + 1) - F(j), so that
  // macro-steps and single steps are the same run.
  virtual Femtoseconds cumulative(const StepWork& work, std::int64_t steps) const = 0;
};

// What each part of a step costs, in femtoseconds.
struct StepRates {
  std::int64_t weights_fs;         // one pass over the weights
  std::int64_t token_fs;           // matrix products of a token
  std::int64_t sample_fs;          // the output head for a row
  std::int64_t fresh_pair_fs;      // attention of whole prompts, a query-key pair
  std::int64_t continued_pair_fs;  // attention of chunks that continue a cache, a pair
  std::int64_t chunk_context_fs;   // a token that a chunk attends to
  std::int64_t context_fs;         // a token that a decoding request attends to
  std::int64_t swap_fs;            // copying a byte to or from the host
  std::int64_t overhead_fs;        // every step: launches and host work
  std::int64_t prefill_fs;         // every step that prefills
  std::int64_t mixed_fs;           // every step that prefills and decodes
};

// A function by straight lines between its knots, constant beyond them; zero if there are none.
class Knots {
 public:
  Knots() = default;
  // `at` ascends. Throws std::invalid_argument.
  Knots(std::vector<std::int64_t> at, std::vector<std::int64_t> values);
  Femtoseconds operator()(std::int64_t x) const;
  std::int64_t last() const { return at_.empty() ? -1 : at_.back(); }
  // The smallest value, if it is below 0; else 0.
  std::int64_t least() const;

 private:
  std::vector<std::int64_t> at_;
  std::vector<std::int64_t> values_;
};

// The same function, summed from 0 on: for a sum over steps that is exact however they are grouped.
class SummedKnots {
 public:
  SummedKnots() = default;
  // The last knot is at most kMost. Throws std::invalid_argument.
  explicit SummedKnots(const Knots& knots);
  // Of `count` numbers from `first` on, which is at least 0.
  Femtoseconds operator()(std::int64_t first, std::int64_t count) const;
  // The smallest value, if it is below 0; else 0.
  Femtoseconds least() const { return least_; }

  static constexpr std::int64_t kMost = 1 << 20;

 private:
  Femtoseconds below(std::int64_t x) const;

  std::vector<Femtoseconds> sums_;  // of all numbers below each, up to the last knot
  Femtoseconds last_ = 0;
  Femtoseconds least_ = 0;
};

// What was measured beyond the rates, in femtoseconds.
struct StepCorrections {
  Knots tokens;         // a step that only decodes, by its tokens
  Knots context;        // a token attended to, by the number of decoding rows
  SummedKnots longest;  // a step that decodes, by the longest cache: the others wait for it
  Knots fresh;          // a pair of a whole prompt, by the mean length of those
  Knots continued;      // a pair of a chunk that continues a cache, by all such chunks' tokens
  std::vector<std::int64_t> row_sizes;  // of captured graphs, ascending: decoding fills up to these
  Knots prefilled;  // a step that prefills, by its tokens: it may be launched in another way
};

// max(weights, products) + attention + KV read + copies + overhead, corrected; see
// sim/step_time.py.
class RooflineStepTime : public StepTime {
 public:
  // Throws std::invalid_argument: row sizes that do not ascend.
  explicit RooflineStepTime(StepRates rates, StepCorrections corrections = {});
  Femtoseconds cumulative(const StepWork& work, std::int64_t steps) const override;

 private:
  Femtoseconds products(const StepWork& work) const;
  std::int64_t computed_tokens(const StepWork& work) const;
  Femtoseconds prefill(const StepWork& work) const;

  StepRates rates_;
  StepCorrections corrections_;
};

}  // namespace warpgroup
