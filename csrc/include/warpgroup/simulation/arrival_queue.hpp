#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

namespace warpgroup {

// The arrivals of a run, by row of the trace. A request arrives at its own time or, in a closed
// loop, a think time after an earlier request has ended in any way.
class ArrivalQueue {
 public:
  // `arrival_ns` ascends. `after`: the earlier request that each request follows. `think_ns`: the
  // time from its end to the arrival; -1 for a request that does not wait. Both are empty if no
  // request waits. Throws std::invalid_argument if the columns differ in length, or if a request
  // waits for itself or a later one.
  ArrivalQueue(std::vector<std::int64_t> arrival_ns, const std::vector<std::int64_t>& after,
               std::vector<std::int64_t> think_ns);

  // The next request, the lowest of those that arrive at the same time; -1 if no arrival is known.
  std::int64_t next() const { return next_; }
  std::int64_t next_ns() const { return next_ns_; }  // its arrival time; -1 if none is known
  void pop();
  // Releases the requests that wait for this one.
  void ended(std::int64_t request, std::int64_t at_ns);
  // The arrival time of a request that does not wait, or no longer waits.
  std::int64_t arrival_ns(std::int64_t request) const {
    return arrival_ns_.at(static_cast<std::size_t>(request));
  }
  std::int64_t left() const { return left_; }  // the number of requests not popped yet

 private:
  using Coming = std::pair<std::int64_t, std::int64_t>;  // arrival time, request

  bool waits(std::size_t request) const { return !think_ns_.empty() && think_ns_[request] >= 0; }
  void find_next();

  std::vector<std::int64_t> arrival_ns_;
  std::vector<std::int64_t> think_ns_;
  std::vector<std::int64_t> first_waiting_;  // by request: the first that waits for it, or -1
  std::vector<std::int64_t> next_waiting_;   // by request: the next that waits for the same, or -1
  std::size_t place_ = 0;                    // the next request that never waits
  std::int64_t left_;
  std::int64_t next_ = -1;
  std::int64_t next_ns_ = -1;
  std::priority_queue<Coming, std::vector<Coming>, std::greater<Coming>> released_;
};

}  // namespace warpgroup
