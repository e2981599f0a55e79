#include "warpgroup/scheduler/predictor.hpp"

#include <algorithm>

namespace warpgroup {

namespace {

// Half octaves: twice the binary logarithm, rounded down.
std::size_t half_octave(std::int64_t tokens) {
  const int bits = 63 - __builtin_clzll(static_cast<std::uint64_t>(tokens));
  // tokens^2 >= 2^(2 bits + 1) in integers: the upper half of the octave.
  const bool upper = bits < 31 && tokens * tokens >= (std::int64_t{2} << (2 * bits));
  return static_cast<std::size_t>(2 * bits + upper);
}

}  // namespace

void LengthWindow::observe(std::int64_t output_tokens) {
  stale_ = true;
  window_.push_back(output_tokens);
  sorted_.insert(std::upper_bound(sorted_.begin(), sorted_.end(), output_tokens), output_tokens);
  if (window_.size() > size_) {
    sorted_.erase(std::lower_bound(sorted_.begin(), sorted_.end(), window_.front()));
    window_.pop_front();
  }
}

std::int64_t LengthWindow::quantile(std::int64_t generated, std::int64_t overflow_ppm) const {
  const auto longer = std::upper_bound(sorted_.begin(), sorted_.end(), generated);
  const std::int64_t count = sorted_.end() - longer;
  if (count == 0) return 0;
  const std::int64_t overflowing = count * overflow_ppm / 1'000'000;
  return *(longer + std::max<std::int64_t>(count - overflowing, 1) - 1);
}

void LengthWindow::refresh() {
  if (!stale_) return;
  stale_ = false;
  longer_.clear();
  auto next = sorted_.begin();
  for (std::int64_t tokens = 0; next != sorted_.end(); tokens += kBucket) {
    while (next != sorted_.end() && *next <= tokens) ++next;
    longer_.push_back(static_cast<std::int32_t>(sorted_.end() - next));
  }
}

void LengthPredictor::observe(std::int64_t prompt_tokens, std::int64_t output_tokens) {
  all_.observe(output_tokens);
  by_prompt_[half_octave(prompt_tokens)].observe(output_tokens);
}

std::int64_t LengthPredictor::quantile(std::int64_t max_new_tokens, std::int64_t generated,
                                       std::int64_t overflow_ppm) const {
  if (all_.count() < kColdStart) return max_new_tokens;
  const std::int64_t length = all_.quantile(generated, overflow_ppm);
  return length == 0 ? max_new_tokens : std::min(length, max_new_tokens);
}

const LengthWindow& LengthPredictor::lengths_after(std::int64_t prompt_tokens) {
  LengthWindow& alike = by_prompt_[half_octave(prompt_tokens)];
  LengthWindow& chosen = alike.count() < kColdStart ? all_ : alike;
  chosen.refresh();
  return chosen;
}

}  // namespace warpgroup
