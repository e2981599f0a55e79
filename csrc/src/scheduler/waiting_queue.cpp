#include "warpgroup/scheduler/waiting_queue.hpp"

namespace warpgroup {

namespace {

// Output tokens, as far as they are known.
std::int64_t output(const Request& request) {
  return request.output_tokens > 0 ? request.output_tokens : request.max_new_tokens;
}

// Requests with smaller keys come first. A key is fixed at submission, so that the order never
// changes while a request waits.
std::int64_t key(Order order, const Request& request) {
  switch (order) {
    case Order::kArrival:
      return 0;
    case Order::kLongestFirst:
      return -(request.prompt_tokens + request.max_new_tokens);
    case Order::kShortestFirst:
      return output(request);
    case Order::kSmallestFirst:
      return request.prompt_tokens + output(request);
  }
  return 0;
}

}  // namespace

bool WaitingQueue::Before::operator()(const Sequence* a, const Sequence* b) const {
  const std::int64_t key_a = key(order, a->request);
  const std::int64_t key_b = key(order, b->request);
  if (key_a != key_b) return key_a < key_b;
  return a->ticket < b->ticket;
}

bool WaitingQueue::has_window_space() const {
  return window_ == 0 || static_cast<std::int64_t>(candidates_.size()) < window_;
}

void WaitingQueue::enter(Sequence* sequence) {
  sequence->in_window = true;
  candidates_.insert(sequence);
}

void WaitingQueue::push_back(Sequence* sequence) {
  sequence->place = by_arrival_.insert(by_arrival_.end(), sequence);
  if (outside_ == by_arrival_.end() && has_window_space()) {
    enter(sequence);
  } else if (outside_ == by_arrival_.end()) {
    outside_ = sequence->place;
  }
}

// Evicted requests may make the window larger than its size; they come first anyway.
void WaitingQueue::push_front(Sequence* sequence) {
  sequence->place = by_arrival_.insert(by_arrival_.begin(), sequence);
  enter(sequence);
}

void WaitingQueue::remove(Sequence* sequence) {
  if (outside_ == sequence->place) ++outside_;
  by_arrival_.erase(sequence->place);
  if (!sequence->in_window) return;
  sequence->in_window = false;
  candidates_.erase(sequence);
  if (outside_ != by_arrival_.end() && has_window_space()) enter(*outside_++);
}

}  // namespace warpgroup
