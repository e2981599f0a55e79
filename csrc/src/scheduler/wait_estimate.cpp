#include "warpgroup/scheduler/wait_estimate.hpp"

#include <algorithm>
#include <cstddef>

namespace warpgroup {

namespace {

constexpr std::size_t kRemembered = 64;  // admissions
constexpr std::size_t kEnough = 8;       // admissions before an estimate is given

}  // namespace

std::int64_t WaitEstimate::clock_at(std::int64_t now_ns) const {
  const std::int64_t since = requests_wait_ ? std::max<std::int64_t>(now_ns - last_plan_ns_, 0) : 0;
  return clock_ns_ + since;
}

void WaitEstimate::begin_plan(std::int64_t now_ns) {
  clock_ns_ = clock_at(now_ns);
  last_plan_ns_ = now_ns;
}

void WaitEstimate::note_admission() {
  admissions_.push_back(clock_ns_);
  if (admissions_.size() > kRemembered) admissions_.pop_front();
}

std::int64_t WaitEstimate::expected_ns(std::int64_t now_ns, std::int64_t waiting) const {
  if (waiting == 0 || admissions_.size() < kEnough) return 0;
  const auto count = static_cast<std::int64_t>(admissions_.size());
  return (clock_at(now_ns) - admissions_.front()) / count * waiting;
}

}  // namespace warpgroup
