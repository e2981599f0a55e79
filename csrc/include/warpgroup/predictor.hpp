#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace warpgroup {

// Predicts output lengths from those of requests that finished; it never sees a true length
// earlier.
//
// The prediction is the (1 - overflow) quantile of the observed lengths that are greater than what
// was already generated: P(O <= x | O > generated). Until `kColdStart` requests have finished, or
// when no observed length is greater, it is the request's own max_new_tokens.
class LengthPredictor {
 public:
  static constexpr std::size_t kWindow = 1024;
  static constexpr std::size_t kColdStart = 64;

  // `overflow_ppm`: the accepted probability, in millionths, that a request outgrows its
  // prediction.
  explicit LengthPredictor(std::int64_t overflow_ppm) : overflow_ppm_(overflow_ppm) {}

  void observe(std::int64_t output_tokens);
  // Total output tokens expected, in (generated, max_new_tokens] while generated < max_new_tokens.
  std::int64_t predict(std::int64_t max_new_tokens, std::int64_t generated) const;

 private:
  std::int64_t overflow_ppm_;
  std::deque<std::int64_t> window_;   // in order of finishing
  std::vector<std::int64_t> sorted_;  // the same lengths, ascending
};

}  // namespace warpgroup
