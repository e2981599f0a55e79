#include "warpgroup/simulation/step_time.hpp"

#include <algorithm>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace warpgroup {

Knots::Knots(std::vector<std::int64_t> at, std::vector<std::int64_t> values)
    : at_(std::move(at)), values_(std::move(values)) {
  if (at_.size() != values_.size())
    throw std::invalid_argument("knots and values differ in number");
  if (std::adjacent_find(at_.begin(), at_.end(), std::greater_equal<>()) != at_.end())
    throw std::invalid_argument("knots do not ascend");
}

Femtoseconds Knots::operator()(std::int64_t x) const {
  if (at_.empty()) return 0;
  const auto above = std::upper_bound(at_.begin(), at_.end(), x);
  if (above == at_.begin()) return values_.front();
  if (above == at_.end()) return values_.back();
  const auto right = static_cast<std::size_t>(above - at_.begin());
  const std::size_t left = right - 1;
  return values_[left] +
         Femtoseconds{values_[right] - values_[left]} * (x - at_[left]) / (at_[right] - at_[left]);
}

std::int64_t Knots::least() const {
  return std::accumulate(values_.begin(), values_.end(), std::int64_t{0},
                         [](std::int64_t a, std::int64_t b) { return std::min(a, b); });
}

SummedKnots::SummedKnots(const Knots& knots) : least_(knots.least()) {
  if (knots.last() < 0) return;
  if (knots.last() > kMost) throw std::invalid_argument("the last knot is above 2^20");
  sums_.reserve(static_cast<std::size_t>(knots.last()) + 2);
  sums_.push_back(0);
  for (std::int64_t x = 0; x <= knots.last(); ++x) sums_.push_back(sums_.back() + knots(x));
  last_ = knots(knots.last());
}

Femtoseconds SummedKnots::below(std::int64_t x) const {
  const auto most = static_cast<std::int64_t>(sums_.size()) - 1;
  if (x <= most) return sums_[static_cast<std::size_t>(x)];
  return sums_.back() + (x - most) * last_;
}

Femtoseconds SummedKnots::operator()(std::int64_t first, std::int64_t count) const {
  return sums_.empty() ? 0 : below(first + count) - below(first);
}

RooflineStepTime::RooflineStepTime(StepRates rates, StepCorrections corrections)
    : rates_(rates), corrections_(std::move(corrections)) {
  const auto& sizes = corrections_.row_sizes;
  if (std::adjacent_find(sizes.begin(), sizes.end(), std::greater_equal<>()) != sizes.end())
    throw std::invalid_argument("row sizes do not ascend");
}

std::int64_t RooflineStepTime::computed_tokens(const StepWork& work) const {
  if (work.prefill_tokens > 0) return work.prefill_tokens + work.decode_rows;
  const auto& sizes = corrections_.row_sizes;
  const auto size = std::lower_bound(sizes.begin(), sizes.end(), work.decode_rows);
  return size == sizes.end() ? work.decode_rows : *size;
}

// The products of a step share one pass over the weights.
Femtoseconds RooflineStepTime::products(const StepWork& work) const {
  const std::int64_t tokens = computed_tokens(work);
  const Femtoseconds computed =
      Femtoseconds{tokens} * rates_.token_fs + Femtoseconds{work.sampled_rows} * rates_.sample_fs;
  const Knots& correction = work.prefill_tokens > 0 ? corrections_.prefilled : corrections_.tokens;
  return std::max<Femtoseconds>(rates_.weights_fs, computed) + correction(tokens);
}

Femtoseconds RooflineStepTime::prefill(const StepWork& work) const {
  if (work.prefill_tokens == 0) return 0;
  const std::int64_t continued_pairs = work.prefill_pairs - work.fresh_pairs;
  // A prompt of n tokens has n (n + 1) / 2 pairs. For prompts of different lengths this gives the
  // mean length, weighted by tokens.
  const std::int64_t length = work.fresh_tokens > 0 ? 2 * work.fresh_pairs / work.fresh_tokens : 0;
  const std::int64_t continued_tokens = work.prefill_tokens - work.fresh_tokens;
  return rates_.prefill_fs + (work.decode_rows > 0 ? rates_.mixed_fs : 0) +
         work.fresh_pairs * (rates_.fresh_pair_fs + corrections_.fresh(length)) +
         continued_pairs * (rates_.continued_pair_fs + corrections_.continued(continued_tokens)) +
         Femtoseconds{work.prefill_context} * rates_.chunk_context_fs;
}

// Everything but the KV read of decoding requests is equal in all steps. Corrections that were
// fitted to other steps may be negative here, so the total is kept at 0 or more.
Femtoseconds RooflineStepTime::cumulative(const StepWork& work, std::int64_t steps) const {
  const Femtoseconds floor = work.decode_rows > 0 ? -corrections_.longest.least() : 0;
  const Femtoseconds each = std::max(floor, rates_.overhead_fs + products(work) + prefill(work));
  const Femtoseconds later = Femtoseconds{steps} * (steps - 1) / 2;
  const Femtoseconds context = steps * Femtoseconds{work.context_tokens} + work.decode_rows * later;
  const Femtoseconds longest =
      work.decode_rows > 0 ? corrections_.longest(work.longest_context, steps) : 0;
  const Femtoseconds read =
      std::max<Femtoseconds>(0, rates_.context_fs + corrections_.context(work.decode_rows));
  const Femtoseconds copies = steps > 0 ? Femtoseconds{work.swap_bytes} * rates_.swap_fs : 0;
  return steps * each + context * read + longest + copies;
}

}  // namespace warpgroup
