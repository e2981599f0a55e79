#include "warpgroup/arrival_queue.hpp"

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
    throw std::invalid_argument("arrivals: the columns are not of one length");
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
  skip_those_who_wait();
}

void ArrivalQueue::skip_those_who_wait() {
  while (place_ < arrival_ns_.size() && waits(place_)) ++place_;
}

bool ArrivalQueue::released_is_next() const {
  if (released_.empty()) return false;
  return place_ == arrival_ns_.size() ||
         released_.top() < Coming{arrival_ns_[place_], static_cast<std::int64_t>(place_)};
}

std::int64_t ArrivalQueue::next() const {
  if (released_is_next()) return released_.top().second;
  return place_ < arrival_ns_.size() ? static_cast<std::int64_t>(place_) : -1;
}

std::int64_t ArrivalQueue::next_ns() const {
  const std::int64_t request = next();
  return request < 0 ? -1 : arrival_ns(request);
}

void ArrivalQueue::pop() {
  if (released_is_next()) {
    released_.pop();
  } else if (place_ < arrival_ns_.size()) {
    ++place_;
    skip_those_who_wait();
  } else {
    throw std::logic_error("no request is known to come");
  }
  --left_;
}

void ArrivalQueue::ended(std::int64_t request, std::int64_t at_ns) {
  if (think_ns_.empty()) return;
  std::int64_t waiting = std::exchange(first_waiting_.at(static_cast<std::size_t>(request)), -1);
  for (; waiting >= 0; waiting = next_waiting_[static_cast<std::size_t>(waiting)]) {
    const auto index = static_cast<std::size_t>(waiting);
    arrival_ns_[index] = at_ns + think_ns_[index];
    released_.push({arrival_ns_[index], waiting});
  }
}

}  // namespace warpgroup
