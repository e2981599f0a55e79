#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace warpgroup {

// Learns output lengths from requests that finished; it never sees a true length earlier.
class LengthPredictor {
 public:
  static constexpr std::size_t kWindow = 1024;  // how many of the last lengths count
  static constexpr std::size_t kColdStart = 64;
  static constexpr std::int64_t kBucket = 16;  // tokens; resolution of longer_than()

  void observe(std::int64_t output_tokens);
  // Until then nothing is known but each request's max_new_tokens.
  bool is_cold() const { return sorted_.size() < kColdStart; }

  // Total output tokens of a request: the (1 - overflow) quantile of the lengths that are greater
  // than what it has generated, P(O <= x | O > generated), with `overflow_ppm` in millionths.
  // max_new_tokens while cold or when no length is greater. In (generated, max_new_tokens].
  std::int64_t quantile(std::int64_t max_new_tokens, std::int64_t generated,
                        std::int64_t overflow_ppm) const;

  // How many of the lengths seen are greater than `tokens`, rounded down to a bucket; one more is
  // counted for the lengths that were never seen, so that nothing is held to be impossible.
  std::int64_t longer_than(std::int64_t tokens) const {
    const auto bucket = static_cast<std::size_t>(tokens / kBucket);
    return bucket < longer_.size() ? longer_[bucket] : 1;
  }
  // Brings longer_than() up to what was observed. O(window + longest / bucket) after a change.
  void refresh();

 private:
  std::deque<std::int64_t> window_;   // in order of finishing
  std::vector<std::int64_t> sorted_;  // the same lengths, ascending
  std::vector<std::int32_t> longer_;
  bool stale_ = true;
};

}  // namespace warpgroup
