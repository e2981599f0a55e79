#include "warpgroup/simulation/arrival_queue.hpp"

#include <stdexcept>
#include <string>
#include <utility>

namespace warpgroup {

ArrivalQueue::ArrivalQueue(std::vector<std::int64_t> arrival_ns,
                           const std::vector<std::int64_t>& after,
                           std::vector<std::int64_t> think_ns)
    : arrival_ns_(std::move(arrival_ns)),
      think_ns_(std::move(think_ns)),
      left_(static_cast<std::int64_t>(arrival_ns_.size())) {
  if (after.size() != think_ns_.size() ||
      (!think_ns_.empty() && think_ns_.size() != arrival_ns_.size()))
    throw std::invalid_argument("arrivals: the columns differ in length");
  first_waiting_.assign(think_ns_.size(), -1);
  next_waiting_.assign(think_ns_.size(), -1);
  for (std::size_t request = 0; request < think_ns_.size(); ++request) {
    if (!waits(request)) continue;
    if (after[request] < 0 || after[request] >= static_cast<std::int64_t>(request))
      throw std::invalid_argument("request " + std::to_string(request) + " waits for " +
                                  std::to_string(after[request]) + ", expected an earlier one");
    std::int64_t& first = first_waiting_[static_cast<std::size_t>(after[request])];
    next_waiting_[request] = std::exchange(first, static_cast<std::int64_t>(request));
  }
  find_next();
}

void ArrivalQueue::find_next() {
  while (place_ < arrival_ns_.size() && waits(place_)) ++place_;
  Coming next{-1, -1};
  if (place_ < arrival_ns_.size()) next = {arrival_ns_[place_], static_cast<std::int64_t>(place_)};
  if (!released_.empty() && (next.second < 0 || released_.top() < next)) next = released_.top();
  next_ns_ = next.first;
  next_ = next.second;
}

void ArrivalQueue::pop() {
  if (next_ < 0) throw std::logic_error("no arrival is known");
  if (waits(static_cast<std::size_t>(next_))) {
    released_.pop();
  } else {
    ++place_;
  }
  --left_;
  find_next();
}

void ArrivalQueue::ended(std::int64_t request, std::int64_t at_ns) {
  if (think_ns_.empty()) return;
  std::int64_t waiting = std::exchange(first_waiting_.at(static_cast<std::size_t>(request)), -1);
  for (; waiting >= 0; waiting = next_waiting_[static_cast<std::size_t>(waiting)]) {
    const auto index = static_cast<std::size_t>(waiting);
    arrival_ns_[index] = at_ns + think_ns_[index];
    released_.push({arrival_ns_[index], waiting});
  }
  find_next();
}

}  // namespace warpgroup
