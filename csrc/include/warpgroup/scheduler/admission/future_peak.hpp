#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "warpgroup/scheduler/admission/admission_test.hpp"
#include "warpgroup/scheduler/admission/course.hpp"

namespace warpgroup {

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

// Admits a request if the predicted courses of all requests, its own included, peak within the pool
// less the watermark. An output is predicted by the policy's quantile, or known to an oracle.
class FuturePeakAdmission : public AdmissionTest {
 public:
  explicit FuturePeakAdmission(SchedulerState& state)
      : AdmissionTest(state), peak_(state.memory.block_tokens()) {}

  void begin_attempt() override { snapshot_is_current_ = false; }
  void admit(Sequence& sequence) override;

 protected:
  bool fits_beside_running(const Sequence& sequence, std::int64_t blocks) override;

 private:
  Course predict(const Sequence& sequence) const;
  Course course_of_running(Sequence& sequence);
  void take_snapshot();

  FuturePeak peak_;
  bool snapshot_is_current_ = false;  // `peak_` is that of the running requests
};

}  // namespace warpgroup
