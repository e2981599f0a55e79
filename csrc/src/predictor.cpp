#include "warpgroup/predictor.hpp"

#include <algorithm>

namespace warpgroup {

void LengthPredictor::observe(std::int64_t output_tokens) {
  window_.push_back(output_tokens);
  sorted_.insert(std::upper_bound(sorted_.begin(), sorted_.end(), output_tokens), output_tokens);
  if (window_.size() > kWindow) {
    sorted_.erase(std::lower_bound(sorted_.begin(), sorted_.end(), window_.front()));
    window_.pop_front();
  }
}

std::int64_t LengthPredictor::predict(std::int64_t max_new_tokens, std::int64_t generated) const {
  if (sorted_.size() < kColdStart) return max_new_tokens;
  const auto longer = std::upper_bound(sorted_.begin(), sorted_.end(), generated);
  const std::int64_t count = sorted_.end() - longer;
  if (count == 0) return max_new_tokens;
  const std::int64_t overflowing = count * overflow_ppm_ / 1'000'000;
  const std::int64_t rank = std::max<std::int64_t>(count - overflowing, 1);
  return std::min(*(longer + rank - 1), max_new_tokens);
}

}  // namespace warpgroup
