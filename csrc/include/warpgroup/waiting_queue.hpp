#pragma once

#include <cstddef>
#include <list>
#include <set>

#include "warpgroup/policy.hpp"
#include "warpgroup/request.hpp"

namespace warpgroup {

// Requests that wait, in arrival order, and by decreasing length if the policy asks for it.
// Evicted requests rejoin at the front: they were admitted before everybody behind them.
class WaitingQueue {
 public:
  explicit WaitingQueue(Order order) : by_length_wanted_(order == Order::kLongestFirst) {}

  bool empty() const { return by_arrival_.empty(); }
  std::size_t size() const { return by_arrival_.size(); }
  Sequence* front() const { return by_arrival_.front(); }

  void push_back(Sequence* sequence);
  void push_front(Sequence* sequence);
  void remove(Sequence* sequence);

  struct LongerFirst {
    bool operator()(const Sequence* a, const Sequence* b) const;
  };
  const std::set<Sequence*, LongerFirst>& by_length() const { return by_length_; }

 private:
  bool by_length_wanted_;
  std::list<Sequence*> by_arrival_;
  std::set<Sequence*, LongerFirst> by_length_;
};

}  // namespace warpgroup
