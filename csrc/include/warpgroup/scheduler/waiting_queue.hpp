#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <set>
#include <vector>

#include "warpgroup/scheduler/policy.hpp"
#include "warpgroup/scheduler/request.hpp"

namespace warpgroup {

// The waiting requests in arrival order; and the first `window` of them in the order in which the
// policy takes them. Evicted requests return to the front: they were admitted before all others.
class WaitingQueue {
 public:
  // window: 0 for the whole queue.
  WaitingQueue(Order order, std::int64_t window) : order_(order), window_(window) {}
  WaitingQueue(const WaitingQueue&) = delete;  // the sequences hold iterators of its list
  WaitingQueue& operator=(const WaitingQueue&) = delete;

  bool empty() const { return by_arrival_.empty(); }
  std::size_t size() const { return by_arrival_.size(); }
  Sequence* front() const { return by_arrival_.front(); }
  std::vector<Sequence*> all() const { return {by_arrival_.begin(), by_arrival_.end()}; }

  void push_back(Sequence* sequence);
  void push_front(Sequence* sequence);
  void remove(Sequence* sequence);

  struct Before {
    Order order;
    bool operator()(const Sequence* a, const Sequence* b) const;
  };
  // The window in the policy's order; changes with every push and remove.
  const std::set<Sequence*, Before>& candidates() const { return candidates_; }

 private:
  using Place = std::list<Sequence*>::iterator;
  bool has_window_space() const;
  void enter(Sequence* sequence);

  Order order_;
  std::int64_t window_;
  std::list<Sequence*> by_arrival_;
  std::set<Sequence*, Before> candidates_{Before{order_}};
  Place outside_ = by_arrival_.end();  // the first one that is not in the window
};

}  // namespace warpgroup
