#include "warpgroup/predictor.hpp"

#include <algorithm>

namespace warpgroup {

void LengthPredictor::observe(std::int64_t output_tokens) {
  stale_ = true;
  window_.push_back(output_tokens);
  sorted_.insert(std::upper_bound(sorted_.begin(), sorted_.end(), output_tokens), output_tokens);
  if (window_.size() > kWindow) {
    sorted_.erase(std::lower_bound(sorted_.begin(), sorted_.end(), window_.front()));
    window_.pop_front();
  }
}

std::int64_t LengthPredictor::quantile(std::int64_t max_new_tokens, std::int64_t generated,
                                       std::int64_t overflow_ppm) const {
  if (is_cold()) return max_new_tokens;
  const auto longer = std::upper_bound(sorted_.begin(), sorted_.end(), generated);
  const std::int64_t count = sorted_.end() - longer;
  if (count == 0) return max_new_tokens;
  const std::int64_t overflowing = count * overflow_ppm / 1'000'000;
  const std::int64_t rank = std::max<std::int64_t>(count - overflowing, 1);
  return std::min(*(longer + rank - 1), max_new_tokens);
}

void LengthPredictor::refresh() {
  if (!stale_) return;
  stale_ = false;
  longer_.clear();
  auto next = sorted_.begin();
  for (std::int64_t tokens = 0; next != sorted_.end(); tokens += kBucket) {
    while (next != sorted_.end() && *next <= tokens) ++next;
    longer_.push_back(static_cast<std::int32_t>(sorted_.end() - next + 1));
  }
}

}  // namespace warpgroup
