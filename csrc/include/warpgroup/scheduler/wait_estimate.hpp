#pragma once

#include <cstdint>
#include <deque>

namespace warpgroup {

// How long a request that is submitted now would wait, at the rate at which the queue moved lately.
//
// Its clock runs only while requests wait. A request behind n others waits for as long as the last
// n admissions took.
class WaitEstimate {
 public:
  void begin_plan(std::int64_t now_ns);
  void end_plan(bool requests_wait) { requests_wait_ = requests_wait; }
  // A request was admitted that had waited for more than one plan.
  void note_admission();

  // 0 until enough requests were admitted.
  std::int64_t expected_ns(std::int64_t now_ns, std::int64_t waiting) const;

 private:
  std::int64_t clock_at(std::int64_t now_ns) const;

  std::int64_t clock_ns_ = 0;  // time that passed while requests waited, up to the last plan
  std::int64_t last_plan_ns_ = 0;
  bool requests_wait_ = false;           // since the last plan
  std::deque<std::int64_t> admissions_;  // the clock at the last ones
};

}  // namespace warpgroup
