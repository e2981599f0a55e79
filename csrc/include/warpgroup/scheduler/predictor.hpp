#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace warpgroup {

// The output lengths of the last requests that finished.
class LengthWindow {
 public:
  static constexpr std::int64_t kBucket = 16;  // tokens; resolution of longer_than()

  explicit LengthWindow(std::size_t size) : size_(size) {}

  void observe(std::int64_t output_tokens);
  std::size_t count() const { return sorted_.size(); }

  // The (1 - overflow) quantile of the lengths that are greater than what was generated,
  // P(O <= x | O > generated), with `overflow_ppm` in millionths; 0 if no length is greater.
  std::int64_t quantile(std::int64_t generated, std::int64_t overflow_ppm) const;

  // How many of the lengths are greater than `tokens`, rounded down to a bucket.
  std::int64_t longer_than(std::int64_t tokens) const {
    const std::size_t bucket = static_cast<std::size_t>(tokens) / kBucket;
    return bucket < longer_.size() ? longer_[bucket] : 0;
  }
  // Brings longer_than() up to what was observed. O(window + longest / bucket) after a change.
  void refresh();

 private:
  std::size_t size_;
  std::deque<std::int64_t> window_;   // in order of finishing
  std::vector<std::int64_t> sorted_;  // the same lengths, ascending
  std::vector<std::int32_t> longer_;
  bool stale_ = true;
};

// Learns output lengths from finished requests. It sees no true length before a request finishes.
class LengthPredictor {
 public:
  static constexpr std::size_t kWindow = 1024;  // how many of the last lengths count
  static constexpr std::size_t kColdStart = 64;

  void observe(std::int64_t prompt_tokens, std::int64_t output_tokens);

  // Total output tokens of a request: a quantile of all lengths, given what it has generated.
  // max_new_tokens until kColdStart requests have finished, or when no length is greater. In
  // (generated, max_new_tokens].
  std::int64_t quantile(std::int64_t max_new_tokens, std::int64_t generated,
                        std::int64_t overflow_ppm) const;

  // The lengths seen after prompts of similar length (within a factor of sqrt(2)), once there are
  // enough of them; until then all lengths. Long answers often follow long prompts. The result is
  // refreshed, and valid until the next observe().
  const LengthWindow& lengths_after(std::int64_t prompt_tokens);

 private:
  static constexpr std::size_t kClasses = 128;
  static constexpr std::size_t kClassWindow = 256;

  LengthWindow all_{kWindow};
  std::vector<LengthWindow> by_prompt_{kClasses, LengthWindow(kClassWindow)};
};

}  // namespace warpgroup
