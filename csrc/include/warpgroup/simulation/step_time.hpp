#pragma once

#include <cstdint>
#include <vector>

#include "warpgroup/scheduler/plan.hpp"

namespace warpgroup {

// 64 bits hold only two and a half hours of femtoseconds.
__extension__ typedef __int128 Femtoseconds;
constexpr std::int64_t kFsPerNs = 1'000'000;

// Predicts how long steps take.
class StepTime {
 public:
  virtual ~StepTime() = default;
  // F(steps): the total duration of `steps` steps. The first does `work`; in each later one the
  // cache of every decoding request is one token longer. The duration of step j is F(j + 1) - F(j),
  // so that macro-steps and single steps give the same run.
  virtual Femtoseconds cumulative(const StepWork& work, std::int64_t steps) const = 0;
};

// The cost of each part of a step, in femtoseconds.
struct StepRates {
  std::int64_t weights_fs;         // one pass over the weights
  std::int64_t token_fs;           // per token: matrix products
  std::int64_t sample_fs;          // per row: output head
  std::int64_t fresh_pair_fs;      // per query-key pair: attention of whole prompts
  std::int64_t continued_pair_fs;  // per query-key pair: attention of chunks that continue a cache
  std::int64_t chunk_context_fs;   // per token that a chunk attends to
  std::int64_t context_fs;         // per token that a decoding request attends to
  std::int64_t swap_fs;            // per byte copied to or from the host
  std::int64_t overhead_fs;        // per step: launches and host work
  std::int64_t prefill_fs;         // per step that prefills, in addition
  std::int64_t mixed_fs;           // per step that prefills and decodes, in addition
};

// A piecewise linear function: straight lines between its knots, constant beyond them, zero
// without.
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

// Prefix sums of a piecewise linear function. Sums over steps are exact in any grouping of the
// steps.
class SummedKnots {
 public:
  SummedKnots() = default;
  // The last knot is at most kMost. Throws std::invalid_argument.
  explicit SummedKnots(const Knots& knots);
  // The sum over the `count` integers from `first` (at least 0) on.
  Femtoseconds operator()(std::int64_t first, std::int64_t count) const;
  // The smallest value, if it is below 0; else 0.
  Femtoseconds least() const { return least_; }

  static constexpr std::int64_t kMost = 1 << 20;

 private:
  Femtoseconds below(std::int64_t x) const;

  std::vector<Femtoseconds> sums_;  // [x]: the sum over all integers below x, up to the last knot
  Femtoseconds last_ = 0;
  Femtoseconds least_ = 0;
};

// Corrections of the rates, in femtoseconds.
struct StepCorrections {
  Knots tokens;         // per step that only decodes, by its tokens
  Knots context;        // per token that decoding attends to, by the number of decoding rows
  SummedKnots longest;  // per step that decodes, by the longest cache: the other rows wait for it
  Knots fresh;          // per pair of a whole prompt, by the mean length of the whole prompts
  Knots continued;      // per pair of a chunk that continues a cache, by the tokens of such chunks
  std::vector<std::int64_t>
      row_sizes;    // batch sizes of captured graphs: decoding is padded to them
  Knots prefilled;  // per step that prefills, by its tokens: it may be launched differently
};

// max(weights, products) + attention + KV read + copies + overhead, with corrections; see
// sim/step_time/roofline.py.
class RooflineStepTime : public StepTime {
 public:
  // Throws std::invalid_argument if the row sizes do not ascend.
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
