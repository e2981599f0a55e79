#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

namespace warpgroup {

// The requests of a run as they come, by row: each at its own time or, in a closed loop, so long
// after the one that it waits for has ended, whichever way that ended.
class ArrivalQueue {
 public:
  // `arrival_ns` ascends. `after`: the earlier request that each follows; `think_ns`: from its end
  // to the arrival, -1 for a request that does not wait. Both are empty if nobody waits. Throws
  // std::invalid_argument for columns of unlike lengths, or who waits for itself or a later one.
  ArrivalQueue(std::vector<std::int64_t> arrival_ns, const std::vector<std::int64_t>& after,
               std::vector<std::int64_t> think_ns);

  // The request that comes next, the first of those that come at the same time; -1: it is not known
  // that any will.
  std::int64_t next() const { return next_; }
  std::int64_t next_ns() const { return next_ns_; }  // when; -1 likewise
  void pop();
  // Those who wait for a request learn that it has ended.
  void ended(std::int64_t request, std::int64_t at_ns);
  // Of a request that does not wait, or waits no longer.
  std::int64_t arrival_ns(std::int64_t request) const {
    return arrival_ns_.at(static_cast<std::size_t>(request));
  }
  std::int64_t left() const { return left_; }  // those that have not been popped

 private:
  using Coming = std::pair<std::int64_t, std::int64_t>;  // when, who

  bool waits(std::size_t request) const { return !think_ns_.empty() && think_ns_[request] >= 0; }
  void find_next();

  std::vector<std::int64_t> arrival_ns_;
  std::vector<std::int64_t> think_ns_;
  std::vector<std::int64_t> first_waiting_;  // for each request, or -1
  std::vector<std::int64_t> next_waiting_;   // for the same request, or -1
  std::size_t place_ = 0;                    // of the next one that never waited
  std::int64_t left_;
  std::int64_t next_ = -1;
  std::int64_t next_ns_ = -1;
  std::priority_queue<Coming, std::vector<Coming>, std::greater<Coming>> released_;
};

}  // namespace warpgroup
